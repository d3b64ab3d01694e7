package domain

import (
	"fmt"
	"strings"
)

// The coordinates of a function deployed natively.
const (
	NativeRegion  = "local"
	NativeProject = "default"
	NativePackage = "default"
)

// FunctionID names a function without a version.
type FunctionID struct{ Region, Project, Package, Name string }

// NativeFunction is the function of that name in the default project.
func NativeFunction(name string) FunctionID {
	return FunctionID{NativeRegion, NativeProject, NativePackage, name}
}

// String is the URN without a version.
func (f FunctionID) String() string {
	return "urn:fss:" + f.Region + ":" + f.Project + ":function:" + f.Package + ":" + f.Name
}

// Version is the URN with a version.
func (f FunctionID) Version(v string) string { return f.String() + ":" + v }

// ParseFunctionURN reads urn:fss:<region>:<project>:function:<package>:<name>[:<version>].
func ParseFunctionURN(urn string) (f FunctionID, version string, err error) {
	p := strings.Split(urn, ":")
	if len(p) < 7 || len(p) > 8 || p[0] != "urn" || p[1] != "fss" || p[4] != "function" {
		return f, "", fmt.Errorf("%q is not a function URN (urn:fss:<region>:<project>:function:<package>:<name>[:<version>])", clip(urn, 120))
	}
	if len(p) == 8 {
		version = p[7]
	}
	return FunctionID{p[2], p[3], p[5], p[6]}, version, nil
}

// CheckFunctionName refuses what is not a function's name: 1 to 60 characters, a letter first, then letters, digits,
// - and _, ending in a letter or a digit (FunctionGraph's rule).
func CheckFunctionName(name string) error {
	ok := len(name) >= 1 && len(name) <= 60
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		digit := c >= '0' && c <= '9'
		last := i == len(name)-1
		inner := digit || !last && (c == '-' || c == '_')
		if !letter && (i == 0 || !inner) {
			ok = false
		}
	}
	if !ok {
		return reject(CodeInvalid, fmt.Sprintf("%q is not a function name", clip(name, 70)),
			"a name has 1 to 60 letters, digits, - and _, begins with a letter and ends with a letter or a digit")
	}
	return nil
}

// Files name the read-only files of a function: one archive in the blob store. The zero Files are none.
type Files struct {
	Digest Digest
	Size   int64 // bytes of the archive
}

// None reports whether there are no files.
func (f Files) None() bool { return f == Files{} }

// EnvVar is one variable of a function's environment (FunctionGraph's user data).
type EnvVar struct{ Name, Value string }

// MaxEnv is how large a function's own environment may be: 4 KiB of names and values (FunctionGraph: 4096 characters).
const MaxEnv = 4 << 10

// CheckEnv refuses an environment that is too large, or a name that is empty, holds = or NUL, or is the platform's.
func CheckEnv(env []EnvVar) error {
	size := 0
	seen := map[string]bool{}
	for _, v := range env {
		size += len(v.Name) + len(v.Value)
		switch {
		case v.Name == "" || strings.ContainsAny(v.Name, "=\x00") || strings.Contains(v.Value, "\x00"):
			return reject(CodeInvalid, fmt.Sprintf("%q is not a variable's name", clip(v.Name, 60)), "write --env NAME=VALUE")
		case strings.HasPrefix(v.Name, "DEED_"):
			return reject(CodeInvalid, fmt.Sprintf("variable %s: names beginning with DEED_ belong to the platform", v.Name), "choose another name")
		case seen[v.Name]:
			return reject(CodeInvalid, fmt.Sprintf("variable %s is given twice", v.Name), "")
		}
		seen[v.Name] = true
	}
	if size > MaxEnv {
		return reject(CodeTooLarge, fmt.Sprintf("the environment has %d bytes; the limit is %d", size, MaxEnv), "put large configuration into the event")
	}
	return nil
}
