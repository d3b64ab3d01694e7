package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"deed/runtime/wasm/wasmtest"
)

// operation is what the API says of one.
type operation struct {
	ID         string `json:"id"`
	Status     string `json:"status"`
	Total      int    `json:"total"`
	Done       int    `json:"done"`
	Failed     int    `json:"failed"`
	PassedOver int    `json:"passed_over"`
	Version    int    `json:"version"`
}

// until asks the node for an operation until it is as wanted, or ctx ends.
func (p *process) until(ctx context.Context, id string, wanted func(operation) bool) (o operation) {
	p.t.Helper()
	for {
		s := call(ctx, "GET", fmt.Sprintf("http://%s/v1/operations/%s?after=%d", p.addr, id, o.Version), "", &o)
		if s == 200 && wanted(o) {
			return o
		}
		if s != 200 || ctx.Err() != nil {
			p.t.Fatalf("operation: %d %+v", s, o)
		}
	}
}

// TestRedriveSurvives: a redrive whose node is killed again and again, at any point, redrives each invocation once, and ends.
func TestRedriveSurvives(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	const many = 400
	data, addr, broker := t.TempDir(), freePort(t), freePort(t)
	node := start(t, data, addr, broker)
	put := func(module []byte) {
		t.Helper()
		if s := call(ctx, "PUT", "http://"+addr+"/v1/functions/f", string(module), nil); s != 200 {
			t.Fatal(s)
		}
	}
	put(wasmtest.Exit(3))
	for i := range many {
		var a struct {
			ID string `json:"request_id"`
		}
		if s := call(ctx, "POST", "http://"+addr+"/v1/functions/f/invocations", fmt.Sprint(i), &a); s != 202 {
			t.Fatal(s)
		}
	}
	failed := func() bool {
		var list struct {
			Invocations []struct {
				Status string `json:"status"`
			} `json:"invocations"`
		}
		call(ctx, "GET", "http://"+addr+"/v1/invocations?function=f&status=failed&limit=1000", "", &list)
		return len(list.Invocations) == many
	}
	for !failed() {
		if ctx.Err() != nil {
			t.Fatal("they do not fail")
		}
	}
	put(wasmtest.Echo())
	asked := run(ctx, t, []string{"DEED_SERVER=http://" + addr}, "redrive", "--function", "f", "--status", "failed", "--rate", "200", "--detach")
	id := strings.TrimSpace(asked.out)
	if asked.code != 0 || id == "" {
		t.Fatalf("%+v", asked)
	}
	for i := range 3 {
		node.until(ctx, id, func(o operation) bool { return o.Done >= 60*(i+1) || o.Status == "ended" })
		node.kill()
		node = start(t, data, addr, broker)
	}
	o := node.until(ctx, id, func(o operation) bool { return o.Status == "ended" })
	if o.Total != many || o.Done != many || o.Failed != 0 {
		t.Errorf("%+v", o)
	}
	var list struct {
		Invocations []struct {
			ID       string `json:"request_id"`
			Redrives string `json:"redrives"`
			As       string `json:"redriven_as"`
			Status   string `json:"status"`
		} `json:"invocations"`
	}
	if s := call(ctx, "GET", "http://"+addr+"/v1/invocations?function=f&limit=10000", "", &list); s != 200 {
		t.Fatal(s)
	}
	as, named := map[string]string{}, map[string]string{}
	for _, i := range list.Invocations {
		switch {
		case i.Status == "refused":
		case i.Redrives != "":
			if as[i.Redrives] != "" {
				t.Errorf("%s was redriven as %s and as %s", i.Redrives, as[i.Redrives], i.ID)
			}
			as[i.Redrives] = i.ID
		default:
			named[i.ID] = i.As
		}
	}
	if len(as) != many || len(named) != many {
		t.Errorf("%d of %d were redriven", len(as), len(named))
	}
	for old, name := range named {
		if name != as[old] {
			t.Errorf("%s was redriven as %s, and the operation says %s", old, as[old], name)
		}
	}
	again := run(ctx, t, []string{"DEED_SERVER=http://" + addr}, "redrive", "--function", "f", "--status", "failed")
	if again.code != 0 || !strings.Contains(again.err, "0 done, 0 failed; 400 were before") {
		t.Errorf("a second time: %+v", again)
	}
}
