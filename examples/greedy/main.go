// Greedy takes memory without end, and touches what it takes. It shows what a memory limit does.
//
//	GOOS=wasip1 GOARCH=wasm go build -o greedy.wasm ./examples/greedy
package main

import (
	"fmt"
	"io"
	"os"
)

func main() { os.Exit(handle(os.Stdin, os.Stdout, os.Stderr, os.Getenv)) }

func handle(_ io.Reader, _, log io.Writer, _ func(string) string) int {
	fmt.Fprintln(log, "greedy: more")
	return eat(func(int) bool { return true })
}

// eat takes one mebibyte after the other for as long as it may go on, and keeps them all.
func eat(on func(mebibytes int) bool) int {
	const page = 4 << 10
	var taken [][]byte
	for on(len(taken)) {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += page {
			b[i] = 1
		}
		taken = append(taken, b)
	}
	return len(taken)
}
