// Quiet reads its event and prints nothing.
//
//	GOOS=wasip1 GOARCH=wasm go build -o quiet.wasm ./examples/quiet
package main

import (
	"fmt"
	"io"
	"os"
)

func main() { os.Exit(handle(os.Stdin, os.Stdout, os.Stderr, os.Getenv)) }

func handle(in io.Reader, _, log io.Writer, _ func(string) string) int {
	if _, err := io.Copy(io.Discard, in); err != nil {
		fmt.Fprintln(log, "quiet:", err)
		return 1
	}
	return 0
}
