package wasm

import (
	"bytes"
	"fmt"
)

// BadModuleError says why a module cannot run. Reason continues a sentence that begins with "the module".
type BadModuleError struct{ Reason string }

func (e *BadModuleError) Error() string { return "the module " + e.Reason }

// The limits of a module. They are above what compilers emit (a small Go program has some 31,000 data segments, and the
// largest that fits some 13,000 functions), and low enough that decoding stays within some 100 MB. For those of code see
// maxBody.
const (
	maxModule     = 32 << 20  // bytes
	maxTypes      = 20_000    // function types
	maxParams     = 1_000     // parameters, and results, of one type
	maxImports    = 1_000     //
	maxFunctions  = 100_000   //
	maxTables     = 100       //
	maxTable      = 1 << 17   // entries of all tables at the start
	maxTableGrown = 1 << 20   // entries of all tables at most, of a module that grows tables: nothing else bounds those
	maxGlobals    = 10_000    // each is an allocation per attempt
	maxExports    = 20_000    //
	maxElements   = 1 << 18   // entries of all element segments
	maxData       = 200_000   // data segments
	maxLocals     = 50_000    // locals of one function, the limit of browsers; they are run-length coded
	maxLocalsSum  = 4_000_000 // locals of all functions
	maxNames      = 1_000_000 // entries of the name section
)

// facts are what a walk learns of a module.
type facts struct {
	memory      uint64 // bytes of linear memory at the start
	growsTables bool   // it contains table.grow
	picksData   bool   // it contains memory.init or data.drop, so data segments must keep their places
	reactor     bool   // it exports deed_run, and no _start
	initializes bool   // it is a reactor that exports _initialize

	starts        bool     // it has a start function
	changesTables bool     // it contains instructions that change tables or drop their segments
	mutable       []uint32 // indexes of its mutable globals that are numbers
	unkeepable    bool     // it has other mutable globals
	taken         bool     // it exports a name that begins with globalPrefix
}

type walker struct {
	reader
	facts
	offered func(module, name string) bool

	types     []signature
	functions []uint32 // their types, imported ones first
	imported  int
	next      int // the function whose body comes next

	entries        map[string]int // indexes of those exported functions that a host calls
	memoryExported bool

	tables             []uint32 // entries of each at the start
	tableMin, tableMax uint64
	unbounded          bool // a table has no maximum

	globals []constant

	elements, locals, names int
	churn                   int
}

// signature counts the parameters and results of a function type; result is the type of its first result.
type signature struct {
	params, results int
	result          byte
}

// walk holds a module against the limits without believing any count in it, in time and memory of the order of its size.
// It does not validate: the compiler does that. Offered reports whether the platform has an import of that name.
// The error is a *BadModuleError.
func walk(module []byte, offered func(module, name string) bool) (facts, error) {
	w := &walker{offered: offered, entries: map[string]int{}}
	if err := preamble(module); err != nil {
		return facts{}, err
	}
	w.b = module[8:]
	for len(w.b) > 0 && w.err == nil {
		id := w.byte()
		size := w.count("bytes in a section", maxModule, 1)
		rest := w.take(size)
		if w.err != nil {
			break
		}
		outer := w.b
		w.b = rest
		w.section(id)
		if w.err == nil && len(w.b) > 0 {
			w.fail("has %d bytes too many in section %d", len(w.b), id)
		}
		w.b = outer
	}
	if w.err == nil {
		w.whole()
	}
	return w.facts, w.err
}

func preamble(module []byte) error {
	refuse := func(format string, args ...any) error { return &BadModuleError{fmt.Sprintf(format, args...)} }
	switch {
	case len(module) > maxModule:
		return refuse("has %s: at most %s are allowed", size(int64(len(module))), size(maxModule))
	case !bytes.HasPrefix(module, []byte("\x00asm")) && !bytes.HasPrefix([]byte("\x00asm"), module) || len(module) == 0:
		return refuse("is not WebAssembly: it does not begin with \\0asm")
	case len(module) < 8:
		return refuse("is truncated: it ends in its first 8 bytes")
	case bytes.Equal(module[4:8], []byte{0x0d, 0, 1, 0}):
		return refuse("is a WebAssembly component: build a core module, a command of WASI preview 1 (wasip1)")
	case !bytes.Equal(module[4:8], []byte{1, 0, 0, 0}):
		return refuse("has version % x of the binary format, which Deed does not know: only 01 00 00 00", module[4:8])
	}
	return nil
}

// whole holds against each other what is known once all sections were seen.
func (w *walker) whole() {
	w.kind()
	switch {
	case w.growsTables && w.unbounded:
		w.fail("grows tables and has a table without a maximum: declare one, of at most %d entries", maxTableGrown)
	case w.growsTables && w.tableMax > maxTableGrown:
		w.fail("grows tables to %d entries: at most %d are allowed", w.tableMax, maxTableGrown)
	}
}

// kind tells a command, which exports _start, from a reactor.
func (w *walker) kind() {
	if _, command := w.entries[startName]; command {
		w.entry(startName, signature{}, "with parameters or results: build a WASI command")
		return
	}
	if _, w.reactor = w.entries[runName]; !w.reactor {
		w.fail("exports no _start: build a WASI command, or a reactor that exports deed_run")
		return
	}
	w.entry(runName, signature{results: 1, result: typeI32}, "of another type than () -> i32")
	if _, w.initializes = w.entries[initializeName]; w.initializes {
		w.entry(initializeName, signature{}, "with parameters or results")
	}
	if !w.memoryExported {
		w.fail("exports deed_run and no memory")
	}
}

// entry holds the type of an exported function against what it must be.
func (w *walker) entry(name string, want signature, otherwise string) {
	switch f := w.entries[name]; {
	case f >= len(w.functions):
		w.fail("exports a %s that is not there", name)
	case w.functions[f] >= uint32(len(w.types)) || w.types[w.functions[f]] != want:
		w.fail("exports a %s %s", name, otherwise)
	}
}

func (w *walker) section(id byte) {
	switch id {
	case 0:
		if w.name() == "name" {
			w.nameSection()
		} else {
			w.b = nil
		}
	case 1:
		for range w.count("types", maxTypes, 3) {
			w.functionType()
		}
	case 2:
		for range w.count("imports", maxImports, 4) {
			w.importEntry()
		}
	case 3:
		w.imported = len(w.functions)
		w.next = w.imported
		for range w.count("functions", maxFunctions, 1) {
			w.functions = append(w.functions, w.u32())
		}
	case 4:
		for range w.count("tables", maxTables, 3) {
			w.table()
		}
	case 5:
		for range w.count("memories", 1, 2) {
			least, _, _ := w.limits()
			w.memory = uint64(least) << 16
		}
	case 6:
		for i := range w.count("globals", maxGlobals, 4) {
			w.global(uint32(i))
		}
	case 7:
		for range w.count("exports", maxExports, 3) {
			name, kind, index := w.name(), w.byte(), w.u32()
			w.export(name, kind, index)
		}
	case 8:
		w.starts = true
		w.u32()
	case 9:
		for range w.count("element segments", maxElements, 2) {
			w.element()
		}
	case 10:
		for range w.count("function bodies", maxFunctions, 2) {
			if w.err != nil {
				return
			}
			w.body()
		}
	case 11:
		for range w.count("data segments", maxData, 2) {
			w.data()
		}
	case 12:
		if n := w.u32(); n > maxData {
			w.fail("has %d data segments: at most %d are allowed", n, maxData)
		}
	case 13:
		w.fail("uses exception handling, which Deed does not offer")
	default:
		w.fail("has a section %d, which Deed does not know", id)
	}
}
