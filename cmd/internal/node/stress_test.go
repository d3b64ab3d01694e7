package node

import (
	"context"
	"testing"
	"time"

	"deed/domain"
	"deed/runtime/wasm/wasmtest"
)

// TestMoreThanFits: more invocations than places, retried, with due times that pass while they wait for a place.
func TestMoreThanFits(t *testing.T) {
	n := running(t, Config{Concurrency: 4})
	p := domain.Policy{Set: true, MaxRetries: 1, MaxAge: 10 * time.Minute, OnSuccess: "obs://results/ok", OnFailure: "obs://results/failed"}
	f := deploy(t, n, "echo", wasmtest.Echo(), domain.DefaultLimits(), p)
	g := deploy(t, n, "broken", wasmtest.Exit(1), domain.DefaultLimits(), p)
	for i := range 120 {
		if i%2 == 0 {
			f, g = g, f
		}
		if _, err := n.Door.Invoke(t.Context(), f, []byte("x"), ""); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := n.Model.Until(ctx, func() bool { return n.Model.Unsettled() == 0 }); err != nil {
		t.Fatalf("%d are not settled: %v", n.Model.Unsettled(), err)
	}
}
