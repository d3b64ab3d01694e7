package fgs

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
)

// secretsOf is a function of p1's with all that one can have, and an invocation of it; and the words of p1's that nobody
// else may see.
type secretsOf struct {
	name, urn, id, payload string
	words                  []string
}

func plant(t *testing.T, c *client) secretsOf {
	t.Helper()
	x := secretsOf{name: "private-" + strings.ToLower(nameOf(t, "f")), payload: "the-payload-of-p1"}
	x.urn = c.create(t, x.name, module(t, "echo"), func(b *model.CreateFunctionRequestBody) { b.Description = new("described-by-p1") })
	c.publish(t, x.urn, "version-of-p1")
	if _, err := c.CreateVersionAlias(&model.CreateVersionAliasRequest{FunctionUrn: x.urn, Body: &model.CreateVersionAliasRequestBody{Name: "alias-of-p1", Version: "version-of-p1"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateTags(&model.CreateTagsRequest{ResourceType: "functions", ResourceId: x.urn, Body: &model.UpdateFunctionTagsRequestBody{
		Tags: &[]model.KvItem{{Key: new("tag-of-p1"), Value: new("value-of-p1")}},
	}}); err != nil {
		t.Fatal(err)
	}
	c.configure(t, x.urn, model.UpdateFunctionAsyncInvokeConfigRequestBody{DestinationConfig: &model.FuncAsyncDestinationConfig{OnSuccess: destination("OBS", `{"bucket":"bucket-of-p1"}`)}})
	if _, err := c.UpdateFunctionReservedInstancesCount(&model.UpdateFunctionReservedInstancesCountRequest{
		FunctionUrn: c.urn(x.name, "version-of-p1"), Body: &model.UpdateFunctionReservedInstancesCountRequestBody{Count: 7},
	}); err != nil {
		t.Fatal(err)
	}
	x.id = c.invoke(t, x.urn, object{"secret": x.payload})
	c.reach(t, x.urn, x.id, "SUCCESS")
	x.words = []string{x.name, x.id, x.payload, "described-by-p1", "version-of-p1", "alias-of-p1", "tag-of-p1", "value-of-p1", "bucket-of-p1"}
	return x
}

// leaks are the words in an answer that were not in the request.
func (x secretsOf) leaks(request, answer string) (out []string) {
	for _, w := range x.words {
		if strings.Contains(answer, w) && !strings.Contains(request, w) {
			out = append(out, w)
		}
	}
	return out
}

// seen is all that p1 can see of its function and invocation.
func (x secretsOf) seen(t *testing.T, s stage) map[string]string {
	t.Helper()
	out := map[string]string{}
	u := "/v2/p1/fgs/functions/" + x.urn
	for _, path := range []string{
		u + "/config", u + "/code", u + "/versions", u + "/aliases", u + "/async-invoke-configs", u + "/async-invocations", u + "/active-async-invocations",
		"/v2/p1/functions/" + x.urn + "/tags", "/v2/p1/fgs/functions/reservedinstanceconfigs?function_urn=" + x.name, "/v2/p1/fgs/functions?func_name=" + x.name,
		"/v1/functions/" + x.name, "/v1/functions/" + x.name + "/policy", "/v1/invocations/" + x.id, "/v1/invocations/" + x.id + "/events", "/v1/invocations/" + x.id + "/result",
	} {
		status, b := s.native(t, s.p1, "GET", path, "")
		if status != 200 {
			t.Fatalf("p1 on %s: %d %s", path, status, b)
		}
		out[path] = b
	}
	return out
}

// nativeRoutes is what GET /openapi.json lists.
func nativeRoutes(t testing.TB, n *node) (out []operation) {
	t.Helper()
	_, b := n.native(t, key{}, "GET", "/openapi.json", "")
	var doc struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal([]byte(b), &doc); err != nil {
		t.Fatal(err)
	}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(doc.Paths[path])) {
			out = append(out, operation{"", strings.ToUpper(method), path})
		}
	}
	if len(out) < 20 {
		t.Fatalf("%d native routes: %v", len(out), out)
	}
	return out
}

// bodies are what the operations that change something are sent.
var bodies = map[string]string{
	"CancelAsyncInvocation":                `{"request_id":"ID","type":"force"}`,
	"UpdateFunctionAsyncInvokeConfig":      `{"max_async_retry_attempts":3}`,
	"UpdateFunctionConfig":                 `{"func_name":"NAME","runtime":"Custom","timeout":77,"handler":"x.y","memory_size":256}`,
	"UpdateFunctionCode":                   `{"code_type":"zip","func_code":{"file":"AGFzbQEAAAA="}}`,
	"UpdateFunctionMaxInstanceConfig":      `{"max_instance_num":0}`,
	"CreateFunctionVersion":                `{"version":"theirs"}`,
	"CreateVersionAlias":                   `{"name":"theirs","version":"version-of-p1"}`,
	"UpdateVersionAlias":                   `{"version":"latest"}`,
	"UpdateFunctionReservedInstancesCount": `{"count":1}`,
	"CreateTags":                           `{"tags":[{"key":"theirs","value":"theirs"}]}`,
	"DeleteTags":                           `{"tags":[{"key":"tag-of-p1","value":"value-of-p1"}]}`,
}

// TestProjectsApart: with a key of p2, by whatever door and whatever it names, nothing of p1's is seen and nothing changed.
func TestProjectsApart(t *testing.T) {
	s, c := of(t)
	x := plant(t, c)
	before := x.seen(t, s)
	ask := func(method, path, body string, headers ...string) int {
		t.Helper()
		r, b := s.raw(t, s.p2, method, path, body, headers...)
		all := b
		for name, values := range r.Header {
			all += "\n" + name + ": " + strings.Join(values, ",")
		}
		for _, word := range x.leaks(path+body, all) {
			t.Errorf("%s %s: %q is in the answer: %d %s", method, path, word, r.StatusCode, all)
		}
		return r.StatusCode
	}
	fill := func(body string) string { return strings.NewReplacer("ID", x.id, "NAME", x.name).Replace(body) }
	for o := range documented(t) {
		body := fill(bodies[o.name])
		if o.name == "CreateFunction" {
			continue // p2 may make one of the same name: below
		}
		foreign := strings.Replace(x.urn, ":p1:", ":p2:", 1)
		for _, a := range []struct {
			project, urn, header string
			want                 []int
		}{
			{"p1", x.urn, "", []int{403}},
			{"p1", x.name, "", []int{403}},
			{"p1", x.urn, "p2", []int{403}},
			{"p2", x.urn, "p1", []int{403}},
			{"p2", x.urn, "", []int{403, 404, 501, 200}},
			{"p2", x.name, "", []int{404, 501, 200}},
			{"p2", foreign, "", []int{404, 501, 200}},
			{"p2", "p1:default:" + x.name, "p2", []int{403, 404, 501, 200}},
		} {
			path := fills(o.path, map[string]string{"project_id": a.project, "function_urn": a.urn, "alias_name": "alias-of-p1", "period": "60"})
			var headers []string
			if a.header != "" {
				headers = []string{"X-Project-Id", a.header}
			}
			if strings.Contains(path, "async-invocations") {
				path += "?request_id=" + x.id + "&requests=" + x.id
			}
			status := ask(o.method, path, body, headers...)
			named := strings.Contains(o.path, "{function_urn}")
			if !slices.Contains(a.want, status) || named && status == 200 {
				t.Errorf("%s: %s %s (%s): %d, want one of %v", o.name, o.method, path, a.header, status, a.want)
			}
		}
	}
	for _, path := range []string{"/v2/p2/fgs/functions/reservedinstances?urn=", "/v2/p2/fgs/functions/reservedinstanceconfigs?function_urn="} {
		for _, urn := range []string{x.urn, x.name} {
			if status := ask("GET", path+urn, ""); status != 403 && status != 404 {
				t.Errorf("%s%s: %d", path, urn, status)
			}
		}
	}

	// The native doors: the destructive ones, too.
	for _, r := range nativeRoutes(t, s.node) {
		if strings.HasSuffix(r.path, "/stream") && !strings.Contains(r.path, "{id}") || r.method == "PUT" && r.path == "/v1/functions/{name}" {
			continue // below
		}
		path := fills(r.path, map[string]string{"name": x.name, "id": x.id, "key": s.p1.Access, "operation": "01234567-89ab-4cde-8f01-23456789abcd"})
		for _, project := range []string{"", "p1", "p2"} {
			var headers []string
			if project != "" {
				headers = []string{"X-Project-Id", project}
			}
			status := ask(r.method, path, `{}`, headers...)
			open := slices.Contains([]string{"/healthz", "/readyz", "/openapi.json", "/v1/version"}, r.path)
			list := r.method == "GET" && slices.Contains([]string{"/v1/functions", "/v1/invocations", "/v1/notifications", "/v1/operations", "/v1/reconcile"}, r.path)
			asks := r.method == "POST" && r.path == "/v1/operations" // of one's own project, and {} asks for nothing
			switch {
			case asks && project != "p1" && status == 400:
			case open && status == 200, project == "p1" && status == 403, list && project != "p1" && status == 200, !open && !list && (status == 403 || status == 404):
			default:
				t.Errorf("%s %s (project %q): %d", r.method, path, project, status)
			}
		}
	}

	// The stream of all events: of p2's there is one, of p1's none.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url()+"/v1/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", s.p2.token())
	stream, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	theirs := s.dial(t, s.p2, "p2")
	own := theirs.create(t, "own", tiny("x"))
	mine := c.invoke(t, x.urn, object{"secret": x.payload})
	c.reach(t, x.urn, mine, "SUCCESS")
	sentinel := theirs.invoke(t, own, object{"sentinel": true})
	lines := bufio.NewScanner(stream.Body)
	lines.Buffer(nil, 1<<20)
	found := false
	for !found && lines.Scan() {
		line := lines.Text()
		if strings.Contains(line, mine) || len(x.leaks("", line)) > 0 {
			t.Errorf("on p2's stream: %s", line)
		}
		found = strings.Contains(line, sentinel)
	}
	if !found {
		t.Errorf("p2's own invocation is not on its stream: %v", lines.Err())
	}

	// A target of p2's cannot be p1's function, and p1's invocation is not cancelled through a function of p2's.
	for _, urn := range []string{x.urn, x.name} {
		body := fmt.Sprintf(`{"destination_config":{"on_success":{"destination":"FunctionGraph","param":%q}}}`, fmt.Sprintf(`{"func_urn":%q}`, urn))
		if status := ask("PUT", "/v2/p2/fgs/functions/own/async-invoke-config", body); status != 400 {
			t.Errorf("a target of p1's: %d", status)
		}
	}
	if status := ask("POST", "/v2/p2/fgs/functions/own/cancel", fill(bodies["CancelAsyncInvocation"])); status != 400 {
		t.Errorf("cancel p1's invocation: %d", status)
	}
	if status := ask("GET", "/v2/p2/fgs/functions/own/async-invocations?request_id="+x.id, ""); status != 200 {
		t.Errorf("ask for p1's invocation: %d", status)
	}
	// p2 may have a function of the same name, which is another.
	theirs.create(t, x.name, tiny("theirs"))
	if status := ask("DELETE", "/v1/functions/"+x.name, ""); status >= 300 {
		t.Errorf("delete p2's own: %d", status)
	}
	if status := ask("PUT", "/v1/functions/"+x.name, string(tiny("native"))); status != 200 {
		t.Errorf("deploy p2's own: %d", status)
	}
	if status := ask("DELETE", "/v2/p2/fgs/functions/"+x.name, ""); status != 204 {
		t.Errorf("delete p2's own: %d", status)
	}

	after := x.seen(t, s)
	for path, b := range before {
		if strings.Contains(path, "async-invocations") { // there is the second one now
			continue
		}
		if after[path] != b {
			t.Errorf("%s was\n%s\nand is\n%s", path, b, after[path])
		}
	}
	if n := strings.Count(after["/v2/p1/fgs/functions/"+x.urn+"/async-invocations"], `"request_id"`); n != 2 {
		t.Errorf("p1 has %d invocations", n)
	}
}

// TestNobodyComesIn: without credentials every route but four says 401, and so it does to a revoked key.
func TestNobodyComesIn(t *testing.T) {
	s := keyed(t)
	revoked, err := s.makeKey(s.operator, "--operator")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.deed(s.operator, "keys", "revoke", revoked.Access); err != nil {
		t.Fatal(err)
	}
	words := map[string]string{"project_id": "p1", "function_urn": "f", "name": "f", "id": "x", "key": s.p1.Access}
	var routes []operation
	for o := range documented(t) {
		routes = append(routes, o)
	}
	routes = append(routes, nativeRoutes(t, s.node)...)
	routes = append(routes, operation{"", "GET", "/v2/p1/fgs/nothing"}, operation{"", "PATCH", "/v2/p1/fgs/functions"}, operation{"", "GET", "/v2/"})
	for _, who := range []key{{}, revoked, {"AAAAAAAAAAAAAAAAAAAA", "x"}, {s.p1.Access, "x"}} {
		for _, o := range routes {
			path := fills(o.path, words)
			open := slices.Contains([]string{"/healthz", "/readyz", "/openapi.json", "/v1/version"}, path)
			r, b := s.raw(t, who, o.method, path, "")
			if open != (r.StatusCode == 200) || !open && r.StatusCode != 401 {
				t.Errorf("%s %s as %q: %d %s", o.method, path, who.Access, r.StatusCode, b)
			}
		}
	}
}
