package access

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func sealer(t testing.TB, digit string) *Sealer {
	t.Helper()
	s, err := ParseSealer(strings.Repeat(digit, 64))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSeal(t *testing.T) {
	s := sealer(t, "a")
	for _, plain := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("secret"), 1000)} {
		sealed := s.Seal(plain, "context")
		if len(sealed) != Overhead+len(plain) || bytes.Contains(sealed, []byte("secret")) {
			t.Fatal(len(sealed))
		}
		got, err := s.Open(sealed, "context")
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%q, %v", got, err)
		}
		if bytes.Equal(sealed, s.Seal(plain, "context")) {
			t.Error("twice the same")
		}
	}
}

// TestOpenRefuses every value that is not as it was sealed: each bit of it, cut anywhere, for another context or key, or
// with parts of another value.
func TestOpenRefuses(t *testing.T) {
	s := sealer(t, "a")
	sealed := s.Seal([]byte("plain"), "context")
	for i := range 8 * len(sealed) {
		b := bytes.Clone(sealed)
		b[i/8] ^= 1 << (i % 8)
		got, err := s.Open(b, "context")
		want := ErrNotSealed
		if i/8 >= 1 && i/8 < headLength {
			want = ErrWrongKey
		}
		if got != nil || !errors.Is(err, want) {
			t.Fatalf("bit %d: %q, %v", i, got, err)
		}
	}
	for i := range sealed {
		if _, err := s.Open(sealed[:i], "context"); !errors.Is(err, ErrNotSealed) {
			t.Errorf("%d bytes: %v", i, err)
		}
	}
	if _, err := s.Open(append(bytes.Clone(sealed), 0), "context"); !errors.Is(err, ErrNotSealed) {
		t.Error("a byte more:", err)
	}
	for _, context := range []string{"", "contex", "context ", "\x00context"} {
		if _, err := s.Open(sealed, context); !errors.Is(err, ErrNotSealed) {
			t.Errorf("context %q: %v", context, err)
		}
	}
	other := s.Seal([]byte("other"), "context")
	mixed := append(bytes.Clone(sealed[:headLength+wrapLength]), other[headLength+wrapLength:]...)
	if _, err := s.Open(mixed, "context"); !errors.Is(err, ErrNotSealed) {
		t.Error("another value under the same data key:", err)
	}
	b := sealer(t, "b")
	if _, err := b.Open(sealed, "context"); !errors.Is(err, ErrWrongKey) || !strings.Contains(err.Error(), s.ID()) || !strings.Contains(err.Error(), b.ID()) {
		t.Error(err)
	}
}

// TestSealedForm: what is stored must be opened by later versions. The value, id and secret were made once by this code.
func TestSealedForm(t *testing.T) {
	s := sealer(t, "a")
	if !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(s.ID()) {
		t.Error(s.ID())
	}
	b, err := os.ReadFile("testdata/sealed.hex")
	if err != nil {
		t.Fatal(err)
	}
	var id, secret string
	var sealed []byte
	if _, err := fmt.Sscanf(string(b), "%s %s %x", &id, &secret, &sealed); err != nil {
		t.Fatal(err)
	}
	if s.ID() != id || s.Derive("root") != secret {
		t.Error(s.ID(), s.Derive("root"))
	}
	if plain, err := s.Open(sealed, "context"); err != nil || string(plain) != "plain" {
		t.Errorf("%q, %v", plain, err)
	}
}

func TestDerive(t *testing.T) {
	a, b := sealer(t, "a"), sealer(t, "b")
	if again := sealer(t, "a"); a.Derive("root") != again.Derive("root") || a.Derive("root") == a.Derive("toor") || a.Derive("root") == b.Derive("root") {
		t.Error("not of the key and the label")
	}
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{40}$`).MatchString(a.Derive("")) {
		t.Error(a.Derive(""))
	}
}

func TestParseSealer(t *testing.T) {
	key := strings.Repeat("0123456789abcdeF", 4)
	for s, ok := range map[string]bool{key: true, key + "\n": true, key + "\r\n": true, "": false, key[1:]: false, key + "0": false, key[1:] + "g": false, " " + key: false, key + "\n\n x": false} {
		_, err := ParseSealer(s)
		if (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
		if err != nil && s != "" && (strings.Contains(err.Error(), "0123") || strings.Contains(err.Error(), "'g'")) {
			t.Error("the error shows the key:", err)
		}
	}
}

func TestSealerFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "seal.key")
	if _, err := LoadSealer(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	created, err := CreateSealer(path, random)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil || !regexp.MustCompile(`^[0-9a-f]{64}\n$`).Match(b) {
		t.Fatal(len(b), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Error(info.Mode(), err)
	}
	if _, err := CreateSealer(path, random); !errors.Is(err, fs.ErrExist) {
		t.Error("created over another:", err)
	}
	loaded, err := LoadSealer(path)
	if err != nil || loaded.ID() != created.ID() {
		t.Fatal(err)
	}
	if plain, err := loaded.Open(created.Seal([]byte("x"), ""), ""); err != nil || string(plain) != "x" {
		t.Error(plain, err)
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
		t.Error("something was left:", all, err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o610, 0o677} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadSealer(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), mode.String()) {
			t.Errorf("%s: %v", mode, err)
		}
	}
	for text, name := range map[string]string{"": "empty", "abc": "short", strings.Repeat("a", 200): "long"} {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadSealer(name); err == nil || !strings.Contains(err.Error(), name) {
			t.Error(err)
		}
	}
	if _, err := LoadSealer(dir); err == nil || !strings.Contains(err.Error(), "mode d") {
		t.Error("a directory:", err)
	}
	if _, err := CreateSealer(filepath.Join(dir, "no", "key"), random); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestCreateHammer: of many that create one file one wins, and the others find its key, whole.
func TestCreateHammer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seal.key")
	var wg sync.WaitGroup
	var won atomic.Int32
	ids := make([]string, 16)
	for i := range ids {
		wg.Go(func() {
			s, err := CreateSealer(path, random)
			if err == nil {
				won.Add(1)
			} else if errors.Is(err, fs.ErrExist) {
				s, err = LoadSealer(path)
			}
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = s.ID()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] || won.Load() != 1 {
			t.Fatal(won.Load(), ids)
		}
	}
}

// FuzzOpen: any bytes are opened or refused; what opens is what was sealed.
func FuzzOpen(f *testing.F) {
	s := sealer(f, "a")
	sealed := s.Seal([]byte("plain"), "context")
	for _, b := range [][]byte{nil, sealed, sealed[:Overhead], sealed[:headLength], make([]byte, Overhead), s.Seal(nil, "")} {
		f.Add(b, "context")
	}
	f.Fuzz(func(t *testing.T, b []byte, context string) {
		plain, err := s.Open(b, context)
		if err != nil && plain != nil {
			t.Fatal("an error, and a value")
		}
		if err == nil && len(plain) != len(b)-Overhead {
			t.Fatal(len(plain), len(b))
		}
		if again, err := s.Open(s.Seal(b, context), context); err != nil || !bytes.Equal(again, b) {
			t.Fatal(err)
		}
	})
}
