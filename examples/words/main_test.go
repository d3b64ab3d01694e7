package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"
)

func TestHandle(t *testing.T) {
	for _, c := range []struct {
		name, event string
		files       fs.FS
		code        int
		out, log    string
	}{
		{"two", "apple", os.DirFS("files"), 0, "1 apple\n4 pineapple\n", ""},
		{"none", "kiwi", os.DirFS("files"), 0, "", ""},
		{"no list", "apple", fstest.MapFS{}, 1, "", "words: open words.txt: file does not exist\n"},
	} {
		var out, log strings.Builder
		if code := handle(strings.NewReader(c.event), &out, &log, c.files); code != c.code || out.String() != c.out || log.String() != c.log {
			t.Errorf("%s: exit code %d, printed %q, logged %q", c.name, code, out.String(), log.String())
		}
	}
	var out, log strings.Builder
	if code := handle(iotest.ErrReader(errors.New("no input")), &out, &log, os.DirFS("files")); code != 1 || log.String() != "words: no input\n" {
		t.Errorf("exit code %d, logged %q", code, log.String())
	}
}
