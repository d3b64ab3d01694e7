package meter_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero/api"

	"deed/runtime/wasm/meter"
)

// The tests of the WebAssembly specification, as wazero comes with them: whatever they do to a module, the metered one
// does the same as the plain one, which wazero itself holds against what the specification expects.
func TestSpecification(t *testing.T) {
	files := specification(t)
	for _, c := range []struct {
		name        string
		interpreted bool
		options     meter.Options
		of          func(file string) bool
	}{
		{"compiled", false, meter.Options{Stack: room}, func(file string) bool { return !raceDetector || !strings.HasPrefix(file, "simd") }},
		{"interpreted", true, meter.Options{Stack: room}, func(file string) bool { return !raceDetector && !strings.HasPrefix(file, "simd") }},
		{"NaN", false, meter.Options{NaN: true}, func(file string) bool {
			return !raceDetector && (file[0] == 'f' || strings.HasPrefix(file, "simd_f") || strings.HasPrefix(file, "conversions"))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() && c.name != "compiled" {
				t.Skip("the compiled ones say nearly the same")
			}
			did := 0
			for _, file := range files {
				if !c.of(filepath.Base(file)) {
					continue
				}
				s := script{
					t: t, dir: filepath.Dir(file), name: filepath.Base(file), options: c.options,
					plain: newEngine(t, c.interpreted), metered: newEngine(t, c.interpreted),
				}
				s.metered.budget = 1 << 60
				s.run(file)
				did += s.did
				s.plain.Close(context.Background())
				s.metered.Close(context.Background())
			}
			t.Logf("%d commands", did)
		})
	}
}

// room is the stack that modules of the specification get, in bytes.
const room = 1 << 20

// specification gives the scripts, or skips the test.
func specification(tb testing.TB) []string {
	tb.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		tb.Skipf("the module cache cannot be asked for wazero: %v", err)
	}
	tests := filepath.Join(strings.TrimSpace(string(dir)), "internal", "integration_test", "spectest")
	var files []string
	for _, part := range []string{"v2", "extended-const"} {
		found, _ := filepath.Glob(filepath.Join(tests, part, "testdata", "*.json"))
		files = append(files, found...)
	}
	if len(files) == 0 {
		tb.Skipf("wazero comes without the tests of the specification: there are none in %s", tests)
	}
	return files
}

// script is one file of commands, done to both.
type script struct {
	t              *testing.T
	dir, name      string
	line, did      int
	options        meter.Options
	plain, metered *engine
	modules        map[string][2]api.Module
	all            []api.Module // metered
	last           [2]api.Module
}

type command struct {
	Type, Name, Filename, As, Text string
	ModuleType                     string `json:"module_type"`
	Line                           int
	Action                         struct {
		Type, Field, Module string
		Args                []value
	}
}

type value struct {
	Type     string
	LaneType string `json:"lane_type"`
	Value    any
}

func (s *script) run(file string) {
	raw, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	var commands struct{ Commands []command }
	if err := json.Unmarshal(raw, &commands); err != nil {
		s.t.Fatal(err)
	}
	spectest, err := os.ReadFile(filepath.Join(s.dir, "..", "..", "testdata", "spectest.wasm"))
	if err != nil {
		s.t.Skip(err)
	}
	for _, e := range []*engine{s.plain, s.metered} {
		if _, err := e.instantiate(spectest, "spectest"); err != nil {
			s.t.Fatal(err)
		}
	}
	s.modules = map[string][2]api.Module{}
	for i, c := range commands.Commands {
		s.line = c.Line
		as := ""
		if next := i + 1; next < len(commands.Commands) && commands.Commands[next].Type == "register" {
			as = commands.Commands[next].As
		}
		s.do(c, as)
	}
}

func (s *script) errorf(format string, args ...any) {
	s.t.Helper()
	s.t.Errorf("%s:%d: %s", s.name, s.line, fmt.Sprintf(format, args...))
}

func (s *script) do(c command, as string) {
	s.did++
	switch c.Type {
	case "module", "assert_uninstantiable", "assert_unlinkable", "assert_invalid", "assert_malformed":
		if c.ModuleType != "text" {
			s.instantiate(c, as)
		}
	case "assert_return", "action", "assert_trap", "assert_exhaustion":
		m := s.last
		if c.Action.Module != "" {
			m = s.modules[c.Action.Module]
		}
		if m[0] == nil || m[1] == nil {
			s.errorf("no module")
			return
		}
		if c.Action.Type == "get" {
			if a, b := m[0].ExportedGlobal(c.Action.Field).Get(), m[1].ExportedGlobal(c.Action.Field).Get(); a != b {
				s.errorf("global %s is %x plain and %x metered", c.Action.Field, a, b)
			}
			return
		}
		s.invoke(c, m)
	case "register":
	default:
		s.errorf("unknown command %s", c.Type)
	}
}

// instantiate makes a module plain and metered; if the rewriter refuses it, so must the engine have.
func (s *script) instantiate(c command, as string) {
	module, err := os.ReadFile(filepath.Join(s.dir, c.Filename))
	if err != nil {
		s.errorf("%v", err)
		return
	}
	plain, err := s.plain.instantiate(module, as)
	out, _, refused := meter.Rewrite(module, s.options)
	if refused != nil {
		if err == nil {
			s.errorf("%s is refused, and runs: %v", c.Filename, refused)
		}
		return
	}
	metered, meteredErr := s.metered.instantiate(out, as)
	if (err == nil) != (meteredErr == nil) {
		s.errorf("%s %s: plain: %v, metered: %v", c.Type, c.Filename, err, meteredErr)
		return
	}
	if err != nil {
		return
	}
	s.all = append(s.all, metered)
	s.last = [2]api.Module{plain, metered}
	if c.Name != "" {
		s.modules[c.Name] = s.last
	}
}

// invoke calls a function of both.
func (s *script) invoke(c command, m [2]api.Module) {
	var args []uint64
	for _, a := range c.Action.Args {
		args = append(args, a.bits()...)
	}
	for _, m := range s.all { // traps leave it taken
		if left, ok := m.ExportedGlobal(meter.Room).(api.MutableGlobal); ok {
			left.Set(room)
		}
	}
	f := m[1].ExportedFunction(c.Action.Field)
	got, err := f.Call(context.Background(), args...)
	if c.Type == "assert_exhaustion" { // plain, it would take 400 MB
		if v := s.metered.verdict(m[1], err); v != "stack overflow" && v != "wasm error: stack overflow" {
			s.errorf("%s %v: %s", c.Action.Field, args, v)
		}
		return
	}
	want, wantErr := m[0].ExportedFunction(c.Action.Field).Call(context.Background(), args...)
	if trap(err) != trap(wantErr) {
		s.errorf("%s %v: plain: %v, metered: %v", c.Action.Field, args, wantErr, err)
		return
	}
	if wantErr != nil {
		return
	}
	at := 0
	for _, typ := range f.Definition().ResultTypes() {
		n := 1
		if typ == 0x7b { // v128
			n = 2
		}
		if !s.same(typ, want[at:at+n], got[at:at+n]) {
			s.errorf("%s %v: %x plain, %x metered", c.Action.Field, args, want, got)
		}
		at += n
	}
}

// same reports whether a value is the same, or the usual NaN instead of another.
func (s *script) same(typ api.ValueType, want, got []uint64) bool {
	switch {
	case slices.Equal(want, got):
		return true
	case typ == 0x70: // a pointer
		return (want[0] == 0) == (got[0] == 0)
	case !s.options.NaN:
		return false
	}
	as64, as32 := typ != api.ValueTypeF32, typ != api.ValueTypeF64
	for i := range want {
		a, b := want[i], got[i]
		as64 = as64 && (a == b || math.IsNaN(math.Float64frombits(a)) && b == 0x7ff8<<48)
		for _, shift := range []int{0, 32} {
			a, b := uint32(a>>shift), uint32(b>>shift)
			as32 = as32 && (a == b || math.IsNaN(float64(math.Float32frombits(a))) && b == 0x7fc0<<16)
		}
	}
	return as32 || as64
}

// bits are a value as wazero takes it.
func (v value) bits() []uint64 {
	if lanes, ok := v.Value.([]any); ok {
		width := 128 / len(lanes)
		b := make([]uint64, 2)
		for i, lane := range lanes {
			b[i*width/64] |= number(lane, width) << (i * width % 64)
		}
		return b
	}
	n := number(v.Value, 64)
	if v.Type == "externref" && v.Value != nil && v.Value != "null" {
		n++ // 0 is null
	}
	return []uint64{n}
}

func number(v any, width int) uint64 {
	text, _ := v.(string)
	if strings.HasPrefix(text, "-") {
		n, _ := strconv.ParseInt(text, 10, 64)
		return uint64(n) & (1<<width - 1)
	}
	n, _ := strconv.ParseUint(text, 10, 64) // null, too, is 0; there is no NaN in arguments
	return n
}
