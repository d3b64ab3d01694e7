package fgsapi

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"deed/cmd/internal/door"
)

// How large code may be, in bytes. The first two are as published; the third is what this server takes of a module by any door.
const (
	maxArchive = 50 << 20
	maxInline  = 10 << 10
	maxModule  = 32 << 20
)

// wasmMagic begins a core module of version 1, the only kind that runs.
const wasmMagic = "\x00asm\x01\x00\x00\x00"

// Code is what is in func_code.file, which is base64: line breaks may stand in it, and the padding may be missing. With
// code_type zip it is a zip archive that holds the module, or the module itself; with inline it is the module. What an archive
// holds besides the module are the function's files. filename is code_filename, for the words of a fault only; "" is
// unknown.
//
// The faults are FSS.1006 for another code type, FSS.1012 for no file, FSS.1071 and FSS.1072 (413) for too large a file, and
// FSS.1011 for one that holds no module. Besides file and the bytes it stands for, no more is in memory than one module and
// the files of one function.
func Code(codeType, filename, file string) (door.Code, error) {
	most := maxArchive
	switch codeType {
	case "zip":
	case "inline":
		most = maxInline
	default:
		return door.Code{}, fault("FSS.1006", fmt.Sprintf("code_type %q: this server takes zip (a zip archive with a WebAssembly module, or the module itself) "+
			"or inline (a module of at most 10 KB), in func_code.file as base64", short(codeType, 40)))
	}
	code, err := decodeFile(file, most)
	switch {
	case err != nil && codeType == "inline" && err.Code == "FSS.1071":
		return door.Code{}, fault("FSS.1072", "inline code is larger than 10 KB: send the module with code_type zip, as it is or in an archive")
	case err != nil:
		return door.Code{}, err
	case codeType == "zip" && strings.HasPrefix(string(code[:min(2, len(code))]), "PK"):
		return unpack(code, filename)
	}
	if err := checkModule(code, "func_code.file"); err != nil {
		return door.Code{}, err
	}
	return door.Code{Module: code}, nil
}

// decodeFile reads base64 that stands for at most so many bytes. It is measured before anything is allocated for it.
func decodeFile(file string, most int) ([]byte, *Fault) {
	digits := len(file) - strings.Count(file, "\n") - strings.Count(file, "\r") - strings.Count(file, "=")
	if digits == 0 {
		return nil, fault("FSS.1012", "func_code.file is missing: it is the base64 of a WebAssembly module, or of a zip archive that holds one")
	}
	if base64.RawStdEncoding.DecodedLen(digits) > most {
		return nil, fault("FSS.1071", fmt.Sprintf("func_code.file stands for more than %d bytes", most))
	}
	encoding := base64.RawStdEncoding
	if strings.Contains(file, "=") {
		encoding = base64.StdEncoding // what has padding has the right one
	}
	code, err := encoding.DecodeString(file)
	if err != nil {
		return nil, fault("FSS.1011", "func_code.file is not base64: "+err.Error())
	}
	return code, nil
}

// checkModule refuses what is not a module that could run, or is too large. where names it to a person.
func checkModule(code []byte, where string) error {
	if len(code) > maxModule {
		return fault("FSS.1071", fmt.Sprintf("%s is a module of %d bytes; the limit is %d (32 MiB)", where, len(code), maxModule))
	}
	if !bytes.HasPrefix(code, []byte(wasmMagic)) {
		return fault("FSS.1011", fmt.Sprintf("%s is %s; expected is a WebAssembly module (a core module for WASI preview 1), or a zip archive that holds one", where, kindOf(code)))
	}
	return nil
}

// kinds are beginnings of files that are likely to be sent by mistake.
var kinds = []struct{ magic, kind string }{
	{"\x00asm\x0d\x00\x01\x00", "a WebAssembly component: build a core module instead (target wasm32-wasip1)"},
	{"\x00asm", "WebAssembly of a version that is not 1, or cut off"},
	{"\x7fELF", "an ELF binary"},
	{"MZ", "a Windows binary"},
	{"\xcf\xfa\xed\xfe", "a macOS binary"},
	{"\xca\xfe\xba\xbe", "a Java class or a macOS binary"},
	{"PK", "a zip archive"},
	{"\x1f\x8b", "a gzip file"},
	{"BZh", "a bzip2 file"},
	{"\xfd7zXZ", "an xz file"},
	{"7z\xbc\xaf", "a 7z archive"},
	{"#!", "a script"},
}

// kindOf says in a few words what a file seems to be.
func kindOf(b []byte) string {
	for _, k := range kinds {
		if bytes.HasPrefix(b, []byte(k.magic)) {
			return k.kind
		}
	}
	text := b[:min(len(b), 512)]
	for range utf8.UTFMax - 1 { // the cut may have gone through a rune
		if len(text) < len(b) && len(text) > 0 && !utf8.Valid(text) {
			text = text[:len(text)-1]
		}
	}
	switch {
	case len(b) == 0:
		return "empty"
	case len(b) > 262 && string(b[257:262]) == "ustar":
		return "a tar archive"
	case bytes.HasPrefix(bytes.TrimSpace(text), []byte("(module")) || bytes.HasPrefix(bytes.TrimSpace(text), []byte("(component")):
		return "WebAssembly text: assemble it first (wat2wasm)"
	case utf8.Valid(text) && bytes.IndexByte(text, 0) < 0:
		return "text"
	}
	return "none of the files known here"
}
