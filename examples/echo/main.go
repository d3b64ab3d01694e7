// Echo prints its event.
//
//	GOOS=wasip1 GOARCH=wasm go build -o echo.wasm ./examples/echo
package main

import (
	"fmt"
	"io"
	"os"
)

func main() { os.Exit(handle(os.Stdin, os.Stdout, os.Stderr, os.Getenv)) }

func handle(in io.Reader, out, log io.Writer, _ func(string) string) int {
	if _, err := io.Copy(out, in); err != nil {
		fmt.Fprintln(log, "echo:", err)
		return 1
	}
	return 0
}
