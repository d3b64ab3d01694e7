// Handled fails and says why in a way that the platform understands: it exits with a code other than 0 and prints one JSON
// object with a member errorMessage.
//
//	GOOS=wasip1 GOARCH=wasm go build -o handled.wasm ./examples/handled
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
)

func main() { os.Exit(handle(os.Stdin, os.Stdout, os.Stderr, os.Getenv)) }

func handle(in io.Reader, out, log io.Writer, _ func(string) string) int {
	n, err := io.Copy(io.Discard, in)
	if err != nil {
		fmt.Fprintln(log, "handled:", err)
		return 2
	}
	failure := struct {
		Message string `json:"errorMessage"`
		Type    string `json:"errorType"`
	}{fmt.Sprintf("an event of %d bytes is not wanted", n), "Unwanted"}
	if err := json.NewEncoder(out).Encode(failure); err != nil {
		fmt.Fprintln(log, "handled:", err)
		return 2
	}
	return 1
}
