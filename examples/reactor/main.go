// Reactor prints its event, as echo does. It is a reactor: what main would do is done by deed_run, and the runtime of Go
// and the package's variables are set up only once for all attempts, before.
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o reactor.wasm ./examples/reactor
package main

import (
	"fmt"
	"io"
	"os"
)

func main() { os.Exit(run()) } // not called in a reactor

func run() int { return handle(os.Stdin, os.Stdout, os.Stderr) }

func handle(in io.Reader, out, log io.Writer) int {
	if _, err := io.Copy(out, in); err != nil {
		fmt.Fprintln(log, "reactor:", err)
		return 1
	}
	return 0
}
