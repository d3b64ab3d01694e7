package fgsapi

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"deed/domain"
)

// The runtimes that mean something here.
const (
	runtimeWasm  = "wasm"         // our own name for what this server runs
	runtimeImage = "Custom Image" // its functions have no handler
)

// runtimes are the names that are taken: FunctionGraph's, those that only Open Telekom Cloud has, and ours. Whatever the name,
// the code is a WebAssembly module: the name is kept for the client that asks for it back.
var runtimes = []string{
	"Java8", "Java11", "Java17", "Java21",
	"Python2.7", "Python3.6", "Python3.9", "Python3.10", "Python3.12",
	"Go1.8", "Go1.x",
	"Node.js6.10", "Node.js8.10", "Node.js10.16", "Node.js12.13", "Node.js14.18", "Node.js16.17", "Node.js18.15", "Node.js20.15",
	"C#(.NET Core 2.0)", "C#(.NET Core 2.1)", "C#(.NET Core 3.1)", "C#(.NET Core 6.0)",
	"PHP7.3", "PHP8.3", "Cangjie1.0", "http", "Custom", runtimeImage, runtimeWasm,
}

// CheckRuntime refuses a name that is not on the list (FSS.1005). Case matters.
func CheckRuntime(name string) error {
	if !slices.Contains(runtimes, name) {
		return fault("FSS.1005", fmt.Sprintf("%q is not a runtime: write %s (a WebAssembly module is what runs, whatever the name) or one of %s",
			short(name, 40), runtimeWasm, strings.Join(runtimes[:len(runtimes)-1], ", ")))
	}
	return nil
}

// CheckHandler refuses what is not the handler of a function of that runtime (FSS.1003): 3 to 128 characters with a dot among
// them, or - where there is none to name. It is kept and not used: a module is entered where WASI says.
func CheckHandler(handler, runtime string) error {
	if handler == "-" && (runtime == runtimeImage || runtime == runtimeWasm) {
		return nil
	}
	n := utf8.RuneCountInString(handler)
	strange := func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }
	if n < 3 || n > 128 || !strings.Contains(handler, ".") || strings.ContainsFunc(handler, strange) {
		return fault("FSS.1003", fmt.Sprintf("%q is not a handler: it has 3 to 128 characters with a dot among them, like index.handler; with the runtimes %s and %s it may be -",
			short(handler, 40), runtimeImage, runtimeWasm))
	}
	return nil
}

// memorySizes are the sizes a function may have, in MB.
var memorySizes = []int64{128, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096}

// Memory is the limit in bytes for a memory_size in MB, which is one of the published sizes; another is FSS.1007.
func Memory(mb int64) (int64, error) {
	if !slices.Contains(memorySizes, mb) {
		return 0, fault("FSS.1007", fmt.Sprintf("memory_size %d is not a size: allowed are %s MB", mb, strings.Trim(fmt.Sprint(memorySizes), "[]")))
	}
	return mb << 20, nil
}

// The published range of timeout, in seconds.
const (
	minTimeout = 3
	maxTimeout = 259200
)

// Timeout is the time limit for a timeout in seconds. FunctionGraph takes 3 to 259200; nothing runs longer than
// domain.MaxTimeout here, and a function that needs more is refused (FSS.1008) rather than cut short one day.
func Timeout(seconds int64) (time.Duration, error) {
	ours := int64(domain.MaxTimeout / time.Second)
	switch {
	case seconds < minTimeout || seconds > maxTimeout:
		return 0, fault("FSS.1008", fmt.Sprintf("timeout %d is out of range: allowed are %d to %d seconds", seconds, minTimeout, ours))
	case seconds > ours:
		return 0, fault("FSS.1008", fmt.Sprintf("timeout %d is within FunctionGraph's limit of %d seconds, but this server runs a function for %d seconds at most: "+
			"divide the work among several invocations", seconds, maxTimeout, ours))
	}
	return time.Duration(seconds) * time.Second, nil
}
