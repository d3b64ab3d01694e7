package main

import "testing"

// The real one never ends, so this one is told to.
func TestSpin(t *testing.T) {
	var rounds uint64
	if code := spin(func(round uint64) bool { rounds = round; return round < 1000 }); code != 0 || rounds != 1000 {
		t.Errorf("code %d after %d rounds, want 0 after 1000", code, rounds)
	}
}
