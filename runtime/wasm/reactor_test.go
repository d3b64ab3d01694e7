package wasm

import (
	"context"
	"errors"
	"strings"
	"testing"

	"deed/domain"
	. "deed/runtime/wasm/wasmtest"
)

// printContext prints the attempt's context.
func printContext() []byte {
	return Join(Const(1024), Call(ContextRead),
		Store(0, Const(1024)), Store(4, Call(ContextSize)), Const(1), Const(0), Const(1), Const(8), Call(FdWrite))
}

func TestReactor(t *testing.T) {
	h := open(t)
	echo := Join(
		Store(0, Const(1<<16)), Store(4, Const(1<<16)), Const(0), Const(0), Const(1), Const(8), Call(FdRead), Drop(),
		Store(4, Load(8)), Const(1), Const(0), Const(1), Const(8), Call(FdWrite))
	set := Store(512, Const(7))
	for _, c := range []struct {
		name   string
		module []byte
		kind   domain.FailureKind
		words  string
		code   uint32
		result string
	}{
		{"echo", Reactor(2, echo), "", "", 0, "the event"},
		{"a code", Reactor(1, Const(3)), domain.FailedExit, "code 3", 3, ""},
		{"a negative code", Reactor(1, Const(-1)), domain.FailedExit, "code 4294967295", 1<<32 - 1, ""},
		{"proc_exit", Reactor(1, Const(4), Call(ProcExit), Const(0)), domain.FailedExit, "code 4", 4, ""},
		{"proc_exit 0", Reactor(1, Const(0), Call(ProcExit), Const(1)), "", "", 0, ""},
		{"trap", Reactor(1, Op(0)), domain.FailedTrap, "unreachable", 0, ""},
		{"initialised", ReactorParts(1, set, Load(512)).Bytes(), domain.FailedExit, "code 7", 7, ""},
		{"initialisation traps", ReactorParts(1, Op(0), Const(0)).Bytes(), domain.FailedTrap, "unreachable", 0, ""},
		{"initialisation exits", ReactorParts(1, Join(Const(5), Call(ProcExit)), Const(0)).Bytes(), domain.FailedExit, "code 5", 5, ""},
		{"handled", handled(), domain.FailedHandled, "no luck", 1, `{"error":"no luck"}`},
		{
			"context", Reactor(2, printContext()), "", "", 0,
			`{"request_id":"r1","attempt":2,"deadline_ms":1767323045000,"function":"f","version":"3"}`,
		},
		{"context in a command", commandWithContext(2), "", "", 0, `{"request_id":"r1","attempt":2,"deadline_ms":1767323045000,"function":"f","version":"3"}`},
		{"context outside memory", Reactor(1, Const(1<<16-1), Call(ContextRead), Const(0)), domain.FailedTrap, "out of bounds", 0, ""},
		{"context without memory", commandWithContext(0), domain.FailedTrap, "out of bounds", 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := h.Check(context.Background(), c.module, nil, limits()); err != nil {
				t.Fatal(err)
			}
			a := attempt("the event")
			a.Env = told
			o := load(t, h, c.module).Run(context.Background(), a)
			if o.Kind != c.kind || !strings.Contains(o.Error, c.words) || o.ExitCode != c.code || string(o.Result) != c.result {
				t.Errorf("%q %q code %d result %q, want %q %q code %d result %q", o.Kind, o.Error, o.ExitCode, o.Result, c.kind, c.words, c.code, c.result)
			}
		})
	}
}

// told is an environment as the platform makes it, with one variable of the function's own.
var told = [][2]string{
	{"DEED_REQUEST_ID", "r1"},
	{"DEED_ATTEMPT", "2"},
	{"DEED_DEADLINE_MS", "1767323045000"},
	{"DEED_FUNCTION", "f"},
	{"DEED_FUNCTION_VERSION", "3"},
	{"LEVEL", "debug"},
}

func handled() []byte {
	const text = `{"error":"no luck"}`
	p := ReactorParts(2, nil, Join(Write(1, 1024, int32(len(text))), Drop(), Const(1)))
	p.Data = [][]byte{Data(1024, text)}
	return p.Bytes()
}

// commandWithContext prints its context; without pages it has no memory that the host could write to.
func commandWithContext(pages uint64) []byte {
	p := ReactorParts(max(pages, 1), Join(printContext(), Drop()), Const(0))
	p.Exports = [][]byte{Export("_start", Initialize), Join(Name("memory"), []byte{2, 0})}
	if pages == 0 {
		p.Memories, p.Exports = nil, p.Exports[:1]
		p.Code[Initialize-Run] = Body(Const(0), Call(ContextRead))
	}
	return p.Bytes()
}

func TestReactorRefused(t *testing.T) {
	h := open(t)
	with := func(change func(*Parts)) []byte {
		p := ReactorParts(1, Op(1), Const(0))
		change(&p)
		return p.Bytes()
	}
	run, memory := Export("deed_run", Run), Join(Name("memory"), []byte{2, 0})
	for _, c := range []struct {
		name   string
		module []byte
		words  string
	}{
		{"no memory", with(func(p *Parts) { p.Exports = [][]byte{run} }), "exports deed_run and no memory"},
		{"memory under another name", with(func(p *Parts) { p.Exports = [][]byte{run, Join(Name("mem"), []byte{2, 0})} }), "exports deed_run and no memory"},
		{"deed_run that is not there", with(func(p *Parts) { p.Exports[0] = Export("deed_run", 100) }), "a deed_run that is not there"},
		{"deed_run without result", with(func(p *Parts) { p.Exports[0] = Export("deed_run", Initialize) }), "a deed_run of another type than () -> i32"},
		{"deed_run with an i64", with(func(p *Parts) {
			p.Types[5], p.Code[0] = Signature(nil, []byte{I64}), Body(Op(0x42, 0))
			p.Imports = p.Imports[:6]
			p.Exports = [][]byte{Export("deed_run", ContextSize), memory}
		}), "a deed_run of another type than () -> i32"},
		{"_initialize with a result", with(func(p *Parts) { p.Exports[2] = Export("_initialize", Run) }), "a _initialize with parameters or results"},
		{"unknown import of deed", with(func(p *Parts) { p.Imports = append(p.Imports, Import("deed", "fetch", 0)) }), "imports deed.fetch, which Deed does not offer"},
		{"import of another type", with(func(p *Parts) { p.Imports[7] = Import("deed", "context_read", 0) }), "cannot be instantiated"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := h.Check(context.Background(), c.module, nil, limits())
			if bad := (*BadModuleError)(nil); !errors.As(err, &bad) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("%v, want %q in it", err, c.words)
			}
		})
	}
}

func TestContextOf(t *testing.T) {
	for _, c := range []struct {
		env  [][2]string
		want string
	}{
		{nil, `{"request_id":"","attempt":0,"deadline_ms":0,"function":"","version":""}`},
		{[][2]string{{"DEED_ATTEMPT", "007"}, {"DEED_DEADLINE_MS", "1e9"}, {"DEED_FUNCTION", `a"b`}}, `{"request_id":"","attempt":0,"deadline_ms":0,"function":"a\"b","version":""}`},
	} {
		if got := string(contextOf(c.env)); got != c.want {
			t.Errorf("%v: %s, want %s", c.env, got, c.want)
		}
	}
}
