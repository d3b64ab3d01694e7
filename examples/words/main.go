// Words says which lines of its word list hold its event. The list is one of the function's files, which are deployed beside
// the module and found below /:
//
//	GOOS=wasip1 GOARCH=wasm go build -o words.wasm ./examples/words
//	deed deploy words words.wasm --dir examples/words/files
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
)

func main() { os.Exit(handle(os.Stdin, os.Stdout, os.Stderr, os.DirFS("/"))) }

func handle(in io.Reader, out, log io.Writer, files fs.FS) int {
	if err := find(in, out, files); err != nil {
		fmt.Fprintln(log, "words:", err)
		return 1
	}
	return 0
}

func find(in io.Reader, out io.Writer, files fs.FS) error {
	event, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	part := bytes.TrimSpace(event)
	list, err := files.Open("words.txt")
	if err != nil {
		return err
	}
	defer func() { _ = list.Close() }() // it was only read
	lines := bufio.NewScanner(list)
	for n := 1; lines.Scan(); n++ {
		if !bytes.Contains(lines.Bytes(), part) {
			continue
		}
		if _, err := fmt.Fprintf(out, "%d %s\n", n, lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}
