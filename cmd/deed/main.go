// Command deed runs WebAssembly functions asynchronously and keeps the record of what became of each request.
package main

import (
	"os"

	"deed/cmd/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
