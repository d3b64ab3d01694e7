package fgs

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
)

// v1 invokes and waits, and returns the answer and the headers of it.
func (c *client) v1(t testing.TB, urn string, event object, log bool) (*model.InvokeFunctionResponse, http.Header) {
	t.Helper()
	q := &model.InvokeFunctionRequest{FunctionUrn: urn, XCFFRequestVersion: new("v1"), Body: event}
	if log {
		q.XCffLogType = new("tail")
	}
	r, err := c.InvokeFunction(q)
	if err != nil {
		t.Fatalf("invoke %s: %v", urn, err)
	}
	last := c.last()
	return r, last.Header
}

// TestSync: a synchronous invocation by version 1, which is an envelope, with all its headers.
func TestSync(t *testing.T) {
	_, c := of(t)
	urn := c.create(t, nameOf(t, "f"), module(t, "sleepy"), func(b *model.CreateFunctionRequestBody) { b.Timeout = 3 })
	r, h := c.v1(t, urn, object{"ms": 5}, true)
	id := *r.RequestId
	same(t, "answer", r, object{
		"request_id": requestID, "result": "{\"ms\":5}\n", "status": 200, "X-Cff-Request-Id": id,
		"log": matching(`(?s)^\S+Z Start invoke request '` + id + `', version: latest\nsleepy: good night for 5 ms\n\S+Z Finish invoke request '` + id +
			`', duration: \d+\.\d{3}ms, billing duration: \d+ms, memory used: \d+\.\d{3}MB, billing memory: 128MB\n$`),
	})
	for name, want := range map[string]like{
		"X-Cff-Request-Id": matching("^" + id + "$"), "X-Request-Id": matching("^" + id + "$"), "X-Cff-Invoke-Summary": matching(`^\{.*"memorySize":128.*\}$`),
		"X-Cff-Billing-Duration": matching(`^[1-9]\d*$`), "X-Cff-Response-Version": matching("^v1$"), "X-Func-Err-Code": matching("^0$"), "X-Is-Func-Err": matching("^false$"),
	} {
		if err := want(h.Get(name)); err != nil {
			t.Errorf("header %s is %q: %v", name, h.Get(name), err)
		}
	}
	if b, err := base64.StdEncoding.DecodeString(h.Get("X-Cff-Function-Log")); err != nil || string(b) != *r.Log {
		t.Errorf("the log in the header is %q, %v", b, err)
	}
	if r, h := c.v1(t, urn, object{"ms": 0}, false); *r.Log != "" || h.Get("X-Cff-Function-Log") != "" {
		t.Errorf("a log that was not asked for: %q %q", *r.Log, h.Get("X-Cff-Function-Log"))
	}
	if _, ok := c.find(t, urn, id); ok {
		t.Error("it is among the asynchronous ones")
	}

	// A function that fails is an answer, too.
	r, h = c.v1(t, urn, object{"ms": 60000}, false)
	var failure struct {
		Message string   `json:"errorMessage"`
		Type    string   `json:"errorType"`
		Trace   []string `json:"stackTrace"`
	}
	if err := json.Unmarshal([]byte(*r.Result), &failure); err != nil || failure.Message == "" || failure.Type == "" || failure.Trace == nil {
		t.Errorf("a timeout's result is %q: %v", *r.Result, err)
	}
	if *r.Status != 500 || h.Get("X-Func-Err-Code") != "4010" || h.Get("X-Is-Func-Err") != "true" {
		t.Errorf("a timeout: %+v %v", r, h)
	}
	for example, want := range map[string]struct {
		status int32
		result string
	}{"broken": {500, `"errorMessage":"function invocation exception, error: `}, "handled": {200, `"errorMessage":"an event of 3 bytes is not wanted"`}} {
		urn := c.create(t, nameOf(t, example), module(t, example))
		r, h := c.v1(t, urn, object{}, true)
		if *r.Status != want.status || h.Get("X-Func-Err-Code") != "4002" || h.Get("X-Is-Func-Err") != "true" || !strings.Contains(*r.Result, want.result) {
			t.Errorf("%s: %d %q %v", example, *r.Status, *r.Result, h)
		}
	}

	_, err := c.InvokeFunction(&model.InvokeFunctionRequest{FunctionUrn: urn, XCFFRequestVersion: new("v2"), Body: object{}})
	c.refused(t, "version 2", err, 400, "FSS.0400", "v2")
	_, err = c.InvokeFunction(&model.InvokeFunctionRequest{FunctionUrn: urn, XCffLogType: new("all"), Body: object{}})
	c.refused(t, "log type all", err, 400, "FSS.0400", "tail")
	_, err = c.InvokeFunction(&model.InvokeFunctionRequest{FunctionUrn: "nobody", XCFFRequestVersion: new("v1"), Body: object{}})
	c.refused(t, "nobody", err, 404, "FSS.1051", "Not found the function")
	_, err = c.InvokeFunction(&model.InvokeFunctionRequest{FunctionUrn: urn, XCFFRequestVersion: new("v1"), Body: object{"x": strings.Repeat("x", 6<<20)}})
	c.refused(t, "a large event", err, 413, "FSS.1201", "6291456")
}

// raw sends a request with a token and returns the answer.
func (n *node) raw(t testing.TB, k key, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, n.url()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if k.Access != "" {
		req.Header.Set("X-Auth-Token", k.token())
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req) // which follows nothing
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// TestSyncText: version 0, which is the default, is what the function printed and nothing else.
func TestSyncText(t *testing.T) {
	s, c := of(t)
	urn := c.create(t, nameOf(t, "f"), module(t, "echo"))
	path := "/v2/p1/fgs/functions/" + urn + "/invocations"
	for event, kind := range map[string]string{
		`{"a": 1}`: "application/json", `"text"`: "application/json", "any text, ü": "text/plain; charset=utf-8", "\xff\xfe\x00": "application/octet-stream", "": "text/plain; charset=utf-8",
	} {
		for _, version := range [][]string{nil, {"X-CFF-Request-Version", "v0"}} {
			r, b := s.raw(t, s.p1, "POST", path, event, version...)
			if r.StatusCode != 200 || b != event || r.Header.Get("Content-Type") != kind || r.Header.Get("X-Cff-Response-Version") != "v0" || r.Header.Get("X-Func-Err-Code") != "0" {
				t.Errorf("%q: %d %q %v", event, r.StatusCode, b, r.Header)
			}
		}
	}
	// In an envelope, what is no text is base64.
	r, b := s.raw(t, s.p1, "POST", path, "\xff\xfe\x00", "X-CFF-Request-Version", "v1")
	if !strings.Contains(b, `"result":"//4A"`) || r.Header.Get("X-Deed-Result-Encoding") != "base64" {
		t.Errorf("%s %v", b, r.Header)
	}
	// The SDK takes the text for an envelope if it is an object.
	if r, err := c.InvokeFunction(&model.InvokeFunctionRequest{FunctionUrn: urn, Body: object{"result": "mine"}}); err != nil || *r.Result != "mine" {
		t.Errorf("%+v %v", r, err)
	}
	for _, size := range []int{1 << 20, 6 << 20} { // with an envelope, more than the event's limit
		event := strings.Repeat("x", size)
		if r, b := s.raw(t, s.p1, "POST", path, event); r.StatusCode != 200 || b != event {
			t.Errorf("%d bytes: %d, %d bytes", size, r.StatusCode, len(b))
		}
	}
}

// TestInstanceMemory: a call may ask for memory, if its function is one whose memory is dynamic.
func TestInstanceMemory(t *testing.T) {
	_, c := of(t)
	static := c.create(t, nameOf(t, "static"), tiny("x"))
	dynamic := c.create(t, nameOf(t, "dynamic"), tiny("x"), func(b *model.CreateFunctionRequestBody) { b.EnableDynamicMemory = new(true) })
	for _, a := range []struct {
		urn, memory string
		want        int // 0 is FSS.0406
	}{
		{static, "", 128},
		{static, "256", 128},
		{static, "10240", 128},
		{static, "129", 0},
		{static, "x", 0},
		{dynamic, "", 128},
		{dynamic, "256", 256},
		{dynamic, "4096", 4096},
		{dynamic, "8192", 0},
		{dynamic, "-1", 0},
	} {
		q := &model.InvokeFunctionRequest{FunctionUrn: a.urn, XCFFRequestVersion: new("v1"), Body: object{}}
		if a.memory != "" {
			q.XCffInstanceMemory = &a.memory
		}
		_, err := c.InvokeFunction(q)
		if a.want == 0 {
			c.refused(t, a.urn+" with "+a.memory, err, 406, "FSS.0406", a.memory)
			continue
		}
		last := c.last()
		if err != nil || !strings.Contains(last.Header.Get("X-Cff-Invoke-Summary"), fmt.Sprintf(`"memorySize":%d,`, a.want)) {
			t.Errorf("%s with %q: %v %s", a.urn, a.memory, err, last.Header.Get("X-Cff-Invoke-Summary"))
		}
	}
}

// TestClientGoes: a client that goes away leaves its invocation running, and the node well.
func TestClientGoes(t *testing.T) {
	s, c := of(t)
	urn := c.create(t, nameOf(t, "f"), module(t, "sleepy"))
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.url()+"/v2/p1/fgs/functions/"+urn+"/invocations", strings.NewReader(`{"ms":400}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", s.p1.token())
	if _, err := (&http.Client{Timeout: 200 * time.Millisecond}).Do(req); err == nil {
		t.Fatal("it answered")
	}
	await(t, "its outcome", func() (string, bool) {
		_, b := s.native(t, s.p1, "GET", "/v1/invocations?function="+nameOf(t, "f"), "")
		return b, strings.Contains(b, `"succeeded"`)
	})
}
