package wasmtest

// typeRun is () -> i32, the type of deed_run and context_size; a reactor's types are those of commands and this one.
const typeRun = typeClock + 1

// The functions that every reactor here imports besides those of commands, and its own.
const (
	ContextSize = Start + iota
	ContextRead
	Run        // deed_run
	Initialize // _initialize, of those that have one
)

// Reactor is a module with a memory of that many pages whose deed_run is the code, which must push the exit code.
func Reactor(pages uint64, run ...[]byte) []byte {
	return ReactorParts(pages, nil, Join(run...)).Bytes()
}

// ReactorParts is Reactor with an _initialize unless that is nil, to be changed before it is assembled.
func ReactorParts(pages uint64, initialize, run []byte) Parts {
	p := CommandParts(pages)
	p.Types = append(p.Types, Signature(nil, []byte{I32}))
	p.Imports = append(p.Imports, Import("deed", "context_size", typeRun), Import("deed", "context_read", typeExit))
	p.Functions, p.Code = [][]byte{U(typeRun)}, [][]byte{Body(run)}
	p.Exports[0] = Export("deed_run", Run)
	if initialize != nil {
		p.Functions, p.Code = append(p.Functions, U(typeStart)), append(p.Code, Body(initialize))
		p.Exports = append(p.Exports, Export("_initialize", Initialize))
	}
	return p
}
