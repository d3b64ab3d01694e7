package wasm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"deed/domain"
	"deed/runtime/wasm/wasmtest"
)

func TestKinds(t *testing.T) {
	h := open(t)
	grow := wasmtest.Loop(wasmtest.Const(1), wasmtest.Op(0x40, 0), wasmtest.Const(-1), wasmtest.Op(0x46), wasmtest.Op(0x0d, 1), wasmtest.Op(0x0c, 0))
	start := wasmtest.CommandParts(1)
	start.Functions = append(start.Functions, wasmtest.U(0))
	start.Code = append(start.Code, wasmtest.Body(wasmtest.Op(0x00)))
	start.Start = wasmtest.U(wasmtest.Start + 1)
	outside := wasmtest.CommandParts(1)
	outside.Data = [][]byte{wasmtest.Data(1<<16-1, "ab")}
	for _, c := range []struct {
		name   string
		module []byte
		kind   domain.FailureKind
		words  string // in Error
		code   uint32
		result string
	}{
		{"echo", wasmtest.Echo(), "", "", 0, "the event"},
		{"exit 0", wasmtest.Print("out", 0), "", "", 0, "out"},
		{"silent", wasmtest.Command(1), "", "", 0, ""},
		{"exit 3", wasmtest.Exit(3), domain.FailedExit, "code 3", 3, ""},
		{"the engine's code of a timeout", wasmtest.Exit(0xefffffff), domain.FailedExit, "code 4026531839", 0xefffffff, ""},
		{"the engine's code of a cancel", wasmtest.Exit(0xffffffff), domain.FailedExit, "code 4294967295", 0xffffffff, ""},
		{"errorMessage", wasmtest.Print(` {"errorMessage":"no luck","error":1} `, 1), domain.FailedHandled, "no luck", 1, ` {"errorMessage":"no luck","error":1} `},
		{"error", wasmtest.Print(`{"error":{"code":7}}`, 1), domain.FailedHandled, `{"code":7}`, 1, `{"error":{"code":7}}`},
		{"error with exit 0", wasmtest.Print(`{"error":"x"}`, 0), "", "", 0, `{"error":"x"}`},
		{"two objects", wasmtest.Print(`{"error":1}{}`, 1), domain.FailedExit, "code 1", 1, `{"error":1}{}`},
		{"another object", wasmtest.Print(`{"err":1}`, 1), domain.FailedExit, "code 1", 1, `{"err":1}`},
		{"a list", wasmtest.Print(`[{"error":1}]`, 1), domain.FailedExit, "code 1", 1, `[{"error":1}]`},
		{"unreachable", wasmtest.Trap(), domain.FailedTrap, "unreachable", 0, ""},
		{"division", wasmtest.Command(1, wasmtest.Const(1), wasmtest.Const(0), wasmtest.Op(0x6d), wasmtest.Drop()), domain.FailedTrap, "integer divide by zero", 0, ""},
		{"memory access", wasmtest.Command(1, wasmtest.Load(1<<16), wasmtest.Drop()), domain.FailedTrap, "out of bounds memory access", 0, ""},
		{"recursion", wasmtest.Recurse(), domain.FailedTrap, "stack overflow", 0, ""},
		{"start function", start.Bytes(), domain.FailedTrap, "unreachable", 0, ""},
		{"growth, trap", wasmtest.Grow(), domain.FailedMemory, "64 MiB", 0, ""},
		{"growth, exit", wasmtest.Command(1, grow, wasmtest.Const(2), wasmtest.Call(wasmtest.ProcExit)), domain.FailedMemory, "code 2", 2, ""},
		{"growth, success", wasmtest.Command(1, grow), "", "", 0, ""},
		{"flood", wasmtest.Flood(1, 100), domain.FailedOutputTooLarge, "64 KiB", 0, ""},
		{"data outside", outside.Bytes(), domain.FailedBadModule, "out of bounds", 0, ""},
		{"minimum memory", wasmtest.Command(2000), domain.FailedBadModule, "125 MiB", 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := load(t, h, c.module).Run(context.Background(), attempt("the event"))
			if o.Kind != c.kind || !strings.Contains(o.Error, c.words) || o.ExitCode != c.code || string(o.Result) != c.result {
				t.Errorf("%q %q code %d result %q, want %q %q code %d result %q", o.Kind, o.Error, o.ExitCode, o.Result, c.kind, c.words, c.code, c.result)
			}
			if c.kind == "" && o.Error != "" || len(o.Error) > maxError {
				t.Errorf("error %q", o.Error)
			}
		})
	}
}

func TestTimeLimit(t *testing.T) {
	h := open(t)
	for name, module := range map[string][]byte{
		"spin":                      wasmtest.Spin(),
		"sleep":                     wasmtest.Sleep(int64(time.Hour)), // it would exit with code 0, were it woken
		"a subscription of forever": wasmtest.Sleep(math.MaxInt64),
		"random bytes": wasmtest.Command(900, wasmtest.Loop( // each call is long, and costs little fuel
			wasmtest.Const(1024), wasmtest.Const(50<<20), wasmtest.Call(wasmtest.RandomGet), wasmtest.Drop(), wasmtest.Op(0x0c, 0))),
	} {
		t.Run(name, func(t *testing.T) {
			a := attempt("")
			a.Limits.Timeout = domain.MinTimeout
			if o := load(t, h, module).Run(context.Background(), a); o.Kind != domain.FailedTimeout || o.Duration < domain.MinTimeout {
				t.Errorf("%+v", o)
			}
		})
	}
}

func TestStop(t *testing.T) {
	h := open(t)
	for name, module := range map[string][]byte{"spin": wasmtest.Spin(), "sleep": wasmtest.Sleep(int64(time.Hour)), "echo": wasmtest.Echo()} {
		for _, c := range []struct {
			cause error
			kind  domain.FailureKind
		}{{ErrCanceled, domain.FailedCanceled}, {errors.New("the node stops"), domain.FailedPlatform}, {nil, domain.FailedPlatform}} {
			m := load(t, h, module)
			before, cancel := context.WithCancelCause(context.Background())
			cancel(c.cause)
			if o := m.Run(before, attempt("")); o.Kind != c.kind {
				t.Errorf("%s, stopped before: %+v, want %q", name, o, c.kind)
			}
			if name == "echo" {
				continue
			}
			ctx, cancel := context.WithCancelCause(context.Background())
			done := make(chan Outcome)
			go func() { done <- m.Run(ctx, attempt("")) }()
			cancel(c.cause)
			if o := <-done; o.Kind != c.kind {
				t.Errorf("%s: %+v, want %q", name, o, c.kind)
			}
		}
	}
}

func TestLog(t *testing.T) {
	h := open(t)
	o := load(t, h, wasmtest.Flood(2, 100)).Run(context.Background(), attempt(""))
	if o.Kind != "" || !o.LogTruncated {
		t.Fatalf("%q %q, truncated %t", o.Kind, o.Error, o.LogTruncated)
	}
	if s, _ := json.Marshal(string(o.Log)); len(s) > MaxLog {
		t.Errorf("log is %d bytes of JSON, more than %d", len(s), MaxLog)
	}
	// The flood is zeros, of which each is six bytes of JSON.
	if _, end, _ := bytes.Cut(o.Log, []byte("\n")); !strings.HasPrefix(string(end), "[log cut at 16 KiB: 406") {
		t.Errorf("log ends in %q", end)
	}
}

func TestLogCut(t *testing.T) {
	for name, s := range map[string]string{
		"plain":      strings.Repeat("a", MaxLog-1),
		"quotes":     strings.Repeat(`"`, MaxLog/2),
		"euros":      strings.Repeat("€", MaxLog/3),
		"shifted":    "a" + strings.Repeat("€", MaxLog/3),
		"not UTF-8":  strings.Repeat("\xff", MaxLog),
		"half runes": strings.Repeat("a", MaxLog-1) + "€€€",
		"tags":       strings.Repeat("<", MaxLog),
		"lines":      strings.Repeat("\n", 100*MaxLog),
	} {
		var l logBuffer
		for i := 0; i < len(s); i += 1000 {
			l.Write([]byte(s[i:min(i+1000, len(s))]))
		}
		b, truncated := l.text()
		if encoded, _ := json.Marshal(string(b)); !truncated || len(encoded) > MaxLog || len(encoded) < MaxLog-100 {
			t.Errorf("%s: truncated %t, %d bytes of JSON", name, truncated, len(encoded))
		}
		if cut := strings.LastIndex(string(b), "\n[log cut"); cut < 0 || !strings.HasPrefix(s, string(b[:cut])) {
			t.Errorf("%s: not a beginning of the log", name)
		}
	}
	var l logBuffer
	whole := strings.Repeat("a", MaxLog-2)
	l.Write([]byte(whole))
	if b, truncated := l.text(); truncated || string(b) != whole {
		t.Errorf("a log that fits was cut to %d bytes", len(b))
	}
}

// Nothing of one attempt is seen by the next: not a global, not memory, not even what was grown.
func TestFreshInstance(t *testing.T) {
	h := open(t)
	// It adds one to a global, to memory it grew and to memory it had, and prints all three.
	p := wasmtest.CommandParts(1,
		wasmtest.Const(100), wasmtest.Op(0x40, 0), wasmtest.Drop(),
		wasmtest.Op(0x23, 0), wasmtest.Const(1), wasmtest.Op(0x6a, 0x24, 0),
		wasmtest.Store(512, wasmtest.Op(0x23, 0)),
		wasmtest.Store(516, wasmtest.Join(wasmtest.Load(6<<20), wasmtest.Const(1), wasmtest.Op(0x6a))),
		wasmtest.Store(6<<20, wasmtest.Load(516)),
		wasmtest.Store(520, wasmtest.Join(wasmtest.Load(600), wasmtest.Const(1), wasmtest.Op(0x6a))),
		wasmtest.Store(600, wasmtest.Load(520)),
		wasmtest.Write(1, 512, 12), wasmtest.Drop())
	p.Globals = [][]byte{wasmtest.Join([]byte{wasmtest.I32, 1}, wasmtest.Const(0), []byte{0x0b})}
	m := load(t, h, p.Bytes())
	for i := range 50 {
		o := m.Run(context.Background(), attempt(""))
		if want := "\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00"; string(o.Result) != want || o.PeakMemory != 101<<16 {
			t.Fatalf("attempt %d: %q %q %q, peak %d", i, o.Kind, o.Error, o.Result, o.PeakMemory)
		}
	}
}

func TestWords(t *testing.T) {
	m := load(t, open(t), wasmtest.Echo())
	for _, a := range []Attempt{
		{Env: [][2]string{{"", "x"}}}, {Env: [][2]string{{"A=B", "x"}}}, {Env: [][2]string{{"A", "\x00"}}}, {Args: []string{"\x00"}},
	} {
		a.Limits = limits()
		if o := m.Run(context.Background(), a); o.Kind != domain.FailedPlatform {
			t.Errorf("%+v: %+v", a, o)
		}
	}
}
