package main

import "testing"

// The real one never ends, so this one is told to.
func TestEat(t *testing.T) {
	if n := eat(func(mebibytes int) bool { return mebibytes < 3 }); n != 3 {
		t.Errorf("took %d MiB, want 3", n)
	}
}
