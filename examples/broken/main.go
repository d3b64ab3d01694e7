// Broken fails whenever it is tried, with exit code 1 and a line in its log.
//
//	GOOS=wasip1 GOARCH=wasm go build -o broken.wasm ./examples/broken
package main

import (
	"fmt"
	"io"
	"os"
)

func main() { os.Exit(handle(os.Stdin, os.Stdout, os.Stderr, os.Getenv)) }

func handle(_ io.Reader, _, log io.Writer, env func(string) string) int {
	fmt.Fprintf(log, "broken: attempt %s of request %s fails, as every attempt does\n", env("DEED_ATTEMPT"), env("DEED_REQUEST_ID"))
	return 1
}
