package wasm

import (
	"context"
	"encoding/binary"
	"strings"
	"testing"

	. "deed/runtime/wasm/wasmtest"
)

// Arguments and environment arrive as WASI has them, and where there is no room for them an error does.
func TestWordsOfWASI(t *testing.T) {
	const sizes, get = 6, 7 // the first imports after those of every command
	const end = 1<<16 - 4
	h := open(t)
	for _, c := range []struct {
		name string
		code []byte // leaves its results at 1024
		want string
	}{
		{"args", Join(dropped(Const(1024), Const(1028), Call(sizes)), dropped(Const(1032), Const(1048), Call(get))), "\x03\x00\x00\x00\x0a\x00\x00\x00" + pointers(1048, 1050, 1051) + "\x00\x00\x00\x00f\x00\x00two ws\x00"},
		{"environ", Join(dropped(Const(1024), Const(1028), Call(sizes+2)), dropped(Const(1032), Const(1048), Call(get+2))), "\x02\x00\x00\x00\x08\x00\x00\x00" + pointers(1048, 1052) + "\x00\x00\x00\x00\x00\x00\x00\x00A=1\x00BC=\x00\x00\x00"},
		{"sizes outside", Store(1024, Join(Const(0), Const(end+1), Call(sizes))), "\x15"},
		{"count outside", Store(1024, Join(Const(-1), Const(0), Call(sizes+2))), "\x15"},
		{"table outside", Store(1024, Join(Const(end-4), Const(0), Call(get))), "\x15"},
		{"words outside", Store(1024, Join(Const(0), Const(end-4), Call(get))), "\x15"},
		{"the last NUL outside", Store(1024, Join(Const(0), Const(end-3), Call(get+2))), "\x15"},
		{"just inside", Store(1024, Join(Const(0), Const(end), Call(get+2))), "\x00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := CommandParts(1, c.code, Write(1, 1024, 36), Drop())
			for _, name := range []string{"args_sizes_get", "args_get", "environ_sizes_get", "environ_get"} {
				p.Imports = append(p.Imports, WASI(name, 3))
			}
			p.Exports[0] = Export("_start", Start+4)
			a := attempt("")
			a.Args, a.Env = []string{"f", "", "two ws"}, [][2]string{{"A", "1"}, {"BC", ""}}
			if c.name == "just inside" {
				a.Env = a.Env[:1]
			}
			if o := load(t, h, p.Bytes()).Run(context.Background(), a); !strings.HasPrefix(string(o.Result), c.want) {
				t.Errorf("%q %q: %q, want %q", o.Kind, o.Error, o.Result, c.want)
			}
		})
	}
}

func pointers(all ...uint32) string {
	var b []byte
	for _, p := range all {
		b = binary.LittleEndian.AppendUint32(b, p)
	}
	return string(b)
}
