package access

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// ParseSealer makes a Sealer of a key that is written as 64 hex digits; a line's end after them is left out.
func ParseSealer(digits string) (*Sealer, error) {
	var key [keyLength]byte
	digits = strings.TrimRight(digits, "\r\n")
	ok := len(digits) == hex.EncodedLen(keyLength)
	if ok {
		_, err := hex.Decode(key[:], []byte(digits)) // its error shows a character of the key
		ok = err == nil
	}
	if !ok {
		return nil, errors.New("a sealing key is 64 hex digits, and this is not")
	}
	return newSealer(key)
}

// LoadSealer reads the key from a file, which nobody but its owner may read or write.
func LoadSealer(path string) (*Sealer, error) {
	f, err := os.Open(path) //nolint:gosec // the operator's file
	if err != nil {
		return nil, fmt.Errorf("open the sealing key: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at the sealing key: %w", err)
	}
	if mode := info.Mode(); !mode.IsRegular() || mode.Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the sealing key %s has mode %s, and must be a file of its owner's alone: chmod 600", path, mode)
	}
	digits, err := io.ReadAll(io.LimitReader(f, 100))
	if err != nil {
		return nil, fmt.Errorf("read the sealing key: %w", err)
	}
	s, err := ParseSealer(string(digits))
	if err != nil {
		return nil, fmt.Errorf("read the sealing key %s: %w", path, err)
	}
	return s, nil
}

// CreateSealer makes a key and the file for LoadSealer, with mode 0600. The error is fs.ErrExist if there is one already,
// which stays as it is: of several that create it one wins. random fills a slice with random bytes and cannot fail.
//
// The file appears whole or not at all. If we crash before, there may be one beside it whose name begins with its own and
// ends in .new; nothing was sealed with that key. Once CreateSealer returned, the key survives a crash of the machine.
func CreateSealer(path string, random func([]byte)) (*Sealer, error) {
	var key [keyLength]byte
	random(key[:])
	s, err := newSealer(key)
	if err != nil {
		return nil, err
	}
	if err := create(path, hex.EncodeToString(key[:])+"\n"); err != nil {
		return nil, fmt.Errorf("create the sealing key: %w", err)
	}
	return s, nil
}

// create makes a durable file that was not there. It is a link that does so, for what O_EXCL creates is empty first, and
// would be found so by whoever comes next.
func create(path, content string) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".*.new") // O_EXCL, and mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name()), syncDirectory(dir)) }()
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}

func syncDirectory(path string) error {
	d, err := os.Open(path) //nolint:gosec // the operator's directory
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
