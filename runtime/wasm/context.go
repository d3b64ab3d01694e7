package wasm

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// deedModule is the module of the platform's own imports:
//
//	context_size() -> i32    the number of bytes that context_read writes
//	context_read(ptr i32)    writes the attempt's context at an address
//
// Commands may import them, too. Memory must be exported by its usual name, "memory".
const deedModule = "deed"

// contextPrefix begins the names of the variables that tell of the attempt.
const contextPrefix = "DEED_"

// isContext reports whether a variable tells of the attempt.
func isContext(name string) bool { return strings.HasPrefix(name, contextPrefix) }

// contextOf gives the attempt's context: a JSON object made of the variables that tell of it. Members whose variable is
// missing, or is no number where one is due, have their zero value.
func contextOf(env [][2]string) []byte {
	var c struct {
		RequestID  string      `json:"request_id"`
		Attempt    json.Number `json:"attempt"`
		DeadlineMS json.Number `json:"deadline_ms"` // Unix milliseconds, by the guest's own clock
		Function   string      `json:"function"`
		Version    string      `json:"version"`
	}
	for _, e := range env {
		switch e[0] {
		case "DEED_REQUEST_ID":
			c.RequestID = e[1]
		case "DEED_ATTEMPT":
			c.Attempt = number(e[1])
		case "DEED_DEADLINE_MS":
			c.DeadlineMS = number(e[1])
		case "DEED_FUNCTION":
			c.Function = e[1]
		case "DEED_FUNCTION_VERSION":
			c.Version = e[1]
		}
	}
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // unreachable: strings and checked numbers
	}
	return b
}

// number gives the text of a whole number that is not negative, and "", which is written as 0, for any other text.
func number(s string) json.Number {
	if s == "" || len(s) > 19 || strings.Trim(s, "0123456789") != "" || s != "0" && s[0] == '0' {
		return ""
	}
	return json.Number(s)
}

// sandboxKey is where the context of a call has its sandbox.
type sandboxKey struct{}

// errOutside traps a guest that has the host write where it has no memory.
var errOutside = errors.New("context_read: out of bounds memory access")

// offerContext gives a runtime the imports of the attempt's context.
func offerContext(ctx context.Context, r wazero.Runtime) error {
	of := func(ctx context.Context) []byte {
		s := ctx.Value(sandboxKey{}).(*sandbox)
		s.reached = true
		if s.context == nil {
			s.context = contextOf(s.env)
		}
		return s.context
	}
	b := r.NewHostModuleBuilder(deedModule)
	b.NewFunctionBuilder().WithGoFunction(api.GoFunc(func(ctx context.Context, stack []uint64) {
		stack[0] = uint64(len(of(ctx)))
	}), nil, []api.ValueType{api.ValueTypeI32}).Export("context_size")
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, mod api.Module, stack []uint64) {
		if m := mod.ExportedMemory("memory"); m == nil || !m.Write(uint32(stack[0]), of(ctx)) {
			panic(errOutside)
		}
	}), []api.ValueType{api.ValueTypeI32}, nil).Export("context_read")
	offerFuel(b)
	_, err := b.Instantiate(ctx)
	return err
}
