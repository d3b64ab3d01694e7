// Spin never returns. It shows what a time limit does to a function that is busy.
//
//	GOOS=wasip1 GOARCH=wasm go build -o spin.wasm ./examples/spin
package main

import (
	"fmt"
	"io"
	"os"
)

func main() { os.Exit(handle(os.Stdin, os.Stdout, os.Stderr, os.Getenv)) }

func handle(_ io.Reader, _, log io.Writer, _ func(string) string) int {
	fmt.Fprintln(log, "spin: round and round")
	return spin(func(uint64) bool { return true })
}

// spin counts its rounds for as long as it may go on.
func spin(on func(round uint64) bool) int {
	for round := uint64(0); on(round); round++ {
	}
	return 0
}
