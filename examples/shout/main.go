// Shout prints its event in upper case. Bytes that are no letters of ASCII stay as they are.
//
//	GOOS=wasip1 GOARCH=wasm go build -o shout.wasm ./examples/shout
package main

import (
	"fmt"
	"io"
	"os"
)

func main() { os.Exit(handle(os.Stdin, os.Stdout, os.Stderr, os.Getenv)) }

func handle(in io.Reader, out, log io.Writer, _ func(string) string) int {
	b, err := io.ReadAll(in)
	if err != nil {
		fmt.Fprintln(log, "shout:", err)
		return 1
	}
	for i, c := range b {
		if 'a' <= c && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	if _, err := out.Write(b); err != nil {
		fmt.Fprintln(log, "shout:", err)
		return 1
	}
	return 0
}
