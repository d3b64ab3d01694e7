// Sleepy sleeps for as long as its event {"ms":N} says, and then prints it. It shows what a time limit does to a function
// that waits.
//
//	GOOS=wasip1 GOARCH=wasm go build -o sleepy.wasm ./examples/sleepy
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

func main() { os.Exit(handle(os.Stdin, os.Stdout, os.Stderr, os.Getenv)) }

func handle(in io.Reader, out, log io.Writer, _ func(string) string) int {
	var event struct {
		Ms int64 `json:"ms"`
	}
	if err := json.NewDecoder(in).Decode(&event); err != nil {
		fmt.Fprintln(log, "sleepy: the event is not {\"ms\":N}:", err)
		return 1
	}
	fmt.Fprintf(log, "sleepy: good night for %d ms\n", event.Ms)
	time.Sleep(time.Duration(event.Ms) * time.Millisecond)
	fmt.Fprintf(out, "{\"ms\":%d}\n", event.Ms)
	return 0
}
