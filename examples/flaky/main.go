// Flaky fails on its first attempt and prints its event on every later one. The platform counts attempts from 1 in
// DEED_ATTEMPT.
//
//	GOOS=wasip1 GOARCH=wasm go build -o flaky.wasm ./examples/flaky
package main

import (
	"fmt"
	"io"
	"os"
)

func main() { os.Exit(handle(os.Stdin, os.Stdout, os.Stderr, os.Getenv)) }

func handle(in io.Reader, out, log io.Writer, env func(string) string) int {
	attempt := env("DEED_ATTEMPT")
	if attempt == "1" {
		fmt.Fprintln(log, "flaky: the first attempt fails; try again")
		return 1
	}
	fmt.Fprintf(log, "flaky: attempt %s works\n", attempt)
	if _, err := io.Copy(out, in); err != nil {
		fmt.Fprintln(log, "flaky:", err)
		return 1
	}
	return 0
}
