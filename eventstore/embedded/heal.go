package embedded

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// differs reports whether the file lacks something that the journal has.
func (s *segment) differs() (bool, error) {
	if len(s.synced.pieces) == 0 {
		return false, nil
	}
	if s.size < s.synced.to {
		return true, nil
	}
	f, err := os.Open(s.path)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	at := s.synced.from
	for _, p := range s.synced.pieces {
		same, err := equal(io.NewSectionReader(f, at, p.n), io.NewSectionReader(p.in, p.at, p.n))
		if err != nil || !same {
			return true, err
		}
		at += p.n
	}
	return false, nil
}

func equal(a, b io.Reader) (bool, error) {
	x, y := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(a, x)
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return false, err
		}
		if _, err := io.ReadFull(b, y[:n]); err != nil {
			return false, err
		}
		if string(x[:n]) != string(y[:n]) {
			return false, nil
		}
	}
}

// heal writes to the file what the journal has of it.
func (s *segment) heal() error {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	at := s.synced.from
	for _, p := range s.synced.pieces {
		_, err := io.Copy(io.NewOffsetWriter(f, at), io.NewSectionReader(p.in, p.at, p.n))
		if err != nil {
			return errors.Join(err, f.Close())
		}
		at += p.n
	}
	return f.Close()
}
