package main

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"
)

func TestHandle(t *testing.T) {
	var out, log strings.Builder
	if code := handle(strings.NewReader(`{"a":1}`), &out, &log); code != 0 || out.String() != `{"a":1}` || log.Len() > 0 {
		t.Errorf("exit code %d, printed %q, logged %q", code, out.String(), log.String())
	}
	if code := handle(iotest.ErrReader(errors.New("no input")), &out, &log); code != 1 || log.String() != "reactor: no input\n" {
		t.Errorf("exit code %d, logged %q", code, log.String())
	}
}
