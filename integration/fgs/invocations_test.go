package fgs

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdktime"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
)

// told waits for the object that tells the outcome of an invocation.
func (s stage) told(t testing.TB, bucket, prefix, id string) notification {
	t.Helper()
	path := await(t, "the object of "+id, func() (string, bool) {
		var found []string
		_ = filepath.WalkDir(filepath.Join(s.data, "objects", bucket, prefix), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && strings.Contains(d.Name(), id) && filepath.Ext(path) == ".json" { // not one that is being written
				found = append(found, path)
			}
			return nil // what is not there yet will be
		})
		return strings.Join(found, " "), len(found) == 1
	})
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return parseNotification(t, b)
}

// record is how an invocation is listed.
func record(id, status string, code int, message any) object {
	return object{"request_id": id, "status": status, "error_code": code, "error_message": message, "start_time": recent, "end_time": recentRecord}
}

// TestOutcomes: how invocations end, what is listed of them, and what their destinations are told.
func TestOutcomes(t *testing.T) {
	s, c := of(t)
	bucket := strings.ToLower(nameOf(t, "b"))
	objects := func(prefix string) *model.FuncDestinationConfig {
		return destination("OBS", fmt.Sprintf(`{"bucket":%q,"prefix":"/%s/","expires":0}`, bucket, prefix))
	}
	for _, a := range []struct {
		example   string
		retries   int32
		event     object
		status    string
		code      int
		message   string // a pattern
		condition string
		http      int
		response  string // a pattern
	}{
		{"echo", 0, object{"k": "v<>&ü", "n": 1}, "SUCCESS", 0, `^$`, "", 200, `^\{"k":"v<>&ü","n":1\}\n$`},
		{"flaky", 1, object{"k": "v"}, "SUCCESS", 0, `^$`, "", 200, `^\{"k":"v"\}\n$`},
		{"broken", 2, object{"k": "v"}, "FAIL", 4002, `^function invocation exception, error: `, "UnhandledInvocationError", 500, `^$`},
		{"handled", 0, object{"k": "v"}, "FAIL", 4002, `^function invocation exception, error: .*`, "HandledInvocationError", 200, `"errorMessage":"an event of 10 bytes is not wanted"`},
		{"sleepy", 0, object{"ms": 60000}, "FAIL", 4010, `time`, "InvocationTimeout", 500, `^$`},
	} {
		t.Run(a.example, func(t *testing.T) {
			urn := c.create(t, nameOf(t, "f"), zipped(t, "index.wasm", module(t, a.example)), func(b *model.CreateFunctionRequestBody) { b.Timeout = 3 })
			c.configure(t, urn, model.UpdateFunctionAsyncInvokeConfigRequestBody{
				MaxAsyncRetryAttempts: &a.retries, DestinationConfig: &model.FuncAsyncDestinationConfig{OnSuccess: objects("ok"), OnFailure: objects("failed")},
			})
			id := c.invoke(t, urn, a.event)
			r := c.reach(t, urn, id, a.status)
			same(t, "record", r, record(id, a.status, a.code, matching(a.message)))
			prefix := map[string]string{"SUCCESS": "ok", "FAIL": "failed"}[a.status]
			n := s.told(t, bucket, prefix, id)
			var sent strings.Builder // as the SDK writes an event
			e := json.NewEncoder(&sent)
			e.SetEscapeHTML(false)
			if err := e.Encode(a.event); err != nil {
				t.Fatal(err)
			}
			if at, err := time.Parse(time.RFC3339Nano, n.Timestamp); err != nil || time.Since(at) > 10*time.Minute {
				t.Errorf("timestamp %q: %v", n.Timestamp, err)
			}
			if q := n.RequestContext; q.RequestID != id || q.FunctionURN != urn || q.Condition != a.condition || q.ApproximateInvokeCount != int(a.retries)+1 {
				t.Errorf("request context: %+v", q)
			}
			if n.RequestPayload != sent.String() {
				t.Errorf("request payload %q, want %q", n.RequestPayload, sent.String())
			}
			if n.ResponseContext.StatusCode != a.http || (n.ResponseContext.FunctionError == "") != (a.status == "SUCCESS") {
				t.Errorf("response context: %+v", n.ResponseContext)
			}
			if err := matching(a.response)(n.ResponsePayload); err != nil {
				t.Errorf("response payload %q: %v", n.ResponsePayload, err)
			}
		})
	}
}

// TestTargetFunction: the outcome of one function is the event of another.
func TestTargetFunction(t *testing.T) {
	s, c := of(t)
	source, target := nameOf(t, "source"), nameOf(t, "target")
	urn, to := c.create(t, source, module(t, "shout")), c.create(t, target, module(t, "echo"))
	c.configure(t, urn, model.UpdateFunctionAsyncInvokeConfigRequestBody{
		DestinationConfig: &model.FuncAsyncDestinationConfig{OnSuccess: destination("FunctionGraph", fmt.Sprintf(`{"func_urn":%q}`, to))},
	})
	id := c.invoke(t, urn, object{"a": "b"})
	c.reach(t, urn, id, "SUCCESS")
	row := await(t, "the target's invocation", func() (model.ListFunctionAsyncInvocationsResult, bool) {
		l, err := c.ListAsyncInvocations(&model.ListAsyncInvocationsRequest{FunctionUrn: to, Status: new("SUCCESS")})
		if err != nil || len(*l.Invocations) != 1 {
			return model.ListFunctionAsyncInvocationsResult{}, false
		}
		return (*l.Invocations)[0], true
	})
	status, result := s.native(t, s.p1, "GET", "/v1/invocations/"+*row.RequestId+"/result", "")
	n := parseNotification(t, []byte(result))
	if status != 200 || n.RequestContext.RequestID != id || n.RequestContext.FunctionURN != urn || n.ResponsePayload != "{\"A\":\"B\"}\n" || n.RequestPayload != "{\"a\":\"b\"}\n" {
		t.Errorf("%d %s", status, result)
	}
}

// TestWaiting: what waits behind the only instance that a function may have expires, is cancelled, or runs when it is its
// turn; what runs is cancelled by force.
func TestWaiting(t *testing.T) {
	s, c := of(t)
	bucket := strings.ToLower(nameOf(t, "b"))
	name := nameOf(t, "f")
	urn := c.create(t, name, module(t, "sleepy"))
	c.atMost(t, urn, 1)
	c.configure(t, urn, model.UpdateFunctionAsyncInvokeConfigRequestBody{
		MaxAsyncRetryAttempts: new(int32(0)), MaxAsyncEventAgeInSeconds: new(int32(2)),
		DestinationConfig: &model.FuncAsyncDestinationConfig{OnFailure: destination("OBS", fmt.Sprintf(`{"bucket":%q,"prefix":"p"}`, bucket))},
	})
	cancel := func(id string, kind *model.CancelAsyncInvocationRequestBodyType) error {
		r, err := c.CancelAsyncInvocation(&model.CancelAsyncInvocationRequest{FunctionUrn: urn, Body: &model.CancelAsyncInvocationRequestBody{RequestId: id, Type: kind}})
		if err == nil && (r.HttpStatusCode != 200 || c.last().ContentLength != 0) {
			t.Errorf("cancel: %+v, %d bytes", r, c.last().ContentLength)
		}
		return err
	}
	kinds := model.GetCancelAsyncInvocationRequestBodyTypeEnum()

	first := c.invoke(t, urn, object{"ms": 600000})
	running := c.reach(t, urn, first, "RUNNING")
	same(t, "running", running, with(record(first, "RUNNING", 0, ""), object{"end_time": ""}))
	expiring, cancelled := c.invoke(t, urn, object{"ms": 1}), c.invoke(t, urn, object{"ms": 2})
	if r, ok := c.find(t, urn, cancelled); !ok || r.Status.Value() != "WAIT" {
		t.Errorf("behind: %+v", r)
	}
	active, err := c.ListActiveAsyncInvocations(&model.ListActiveAsyncInvocationsRequest{FunctionUrn: urn})
	if err != nil {
		t.Fatal(err)
	}
	if *active.Count < 2 || active.NextMarker != nil {
		t.Errorf("active: %+v", active)
	}
	active, err = c.ListActiveAsyncInvocations(&model.ListActiveAsyncInvocationsRequest{FunctionUrn: urn, Requests: new(first + "," + cancelled + ",nobody"), Status: new("RUNNING")})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "active and running", active, object{"count": 1, "invocations": list{with(record(first, "RUNNING", 0, ""), object{"end_time": ""})}})

	if err := cancel(cancelled, nil); err != nil {
		t.Fatal(err)
	}
	same(t, "cancelled", c.reach(t, urn, cancelled, "DISCARD"), record(cancelled, "DISCARD", 4208, matching("cancel")))
	same(t, "expired", c.reach(t, urn, expiring, "DISCARD"), record(expiring, "DISCARD", 150408, matching("valid until")))
	if n := s.told(t, bucket, "p", expiring); n.RequestContext.Condition != "EventAgeExceeded" || n.RequestContext.ApproximateInvokeCount != 0 || n.ResponseContext.StatusCode == 200 {
		t.Errorf("expired: %+v", n)
	}
	if n := s.told(t, bucket, "p", cancelled); n.RequestContext.Condition != "Canceled" {
		t.Errorf("cancelled: %+v", n)
	}
	if r, ok := c.find(t, urn, first); !ok || r.Status.Value() != "RUNNING" {
		t.Errorf("the first: %+v", r)
	}

	for _, id := range []string{"nobody", "", "00000000-0000-4000-8000-000000000000", strings.ToUpper(expiring[:35]) + "0"} {
		c.refused(t, "cancel "+id, cancel(id, nil), 400, "FSS.0400", "Invalid RequestId")
	}
	c.refused(t, "cancel what ended", cancel(expiring, nil), 400, "FSS.0400", "")
	c.refused(t, "recursive", cancel(first, &kinds.RECURSIVE), 400, "FSS.0400", "recursive")
	_, err = c.CancelAsyncInvocation(&model.CancelAsyncInvocationRequest{FunctionUrn: c.urn("nobody"), Body: &model.CancelAsyncInvocationRequestBody{RequestId: first}})
	c.refused(t, "cancel nobody's", err, 404, "FSS.0404", "can not find function")
	other := c.create(t, nameOf(t, "other"), tiny("x"))
	_, err = c.CancelAsyncInvocation(&model.CancelAsyncInvocationRequest{FunctionUrn: other, Body: &model.CancelAsyncInvocationRequestBody{RequestId: first}})
	c.refused(t, "cancel another function's", err, 400, "FSS.0400", "Invalid RequestId")

	if err := cancel(first, &kinds.FORCE); err != nil {
		t.Fatal(err)
	}
	same(t, "killed", c.reach(t, urn, first, "FAIL"), record(first, "FAIL", 4208, matching("cancel")))
}

// TestOneInstance: of a function that may have one instance, one runs at a time, and all run.
func TestOneInstance(t *testing.T) {
	s, c := of(t)
	urn := c.create(t, nameOf(t, "f"), module(t, "sleepy"))
	c.atMost(t, urn, 1)
	ids := map[string]bool{}
	for range 6 {
		ids[c.invoke(t, urn, object{"ms": 150})] = true
	}
	await(t, "six outcomes", func() (int32, bool) {
		l, err := c.ListAsyncInvocations(&model.ListAsyncInvocationsRequest{FunctionUrn: urn})
		if err != nil {
			t.Fatal(err)
		}
		running, done := 0, 0
		for _, r := range *l.Invocations {
			switch r.Status.Value() {
			case "RUNNING":
				running++
			case "SUCCESS":
				done++
			}
		}
		if running > 1 {
			t.Fatalf("%d run at once", running)
		}
		return *l.Count, done == len(ids)
	})
	// The log has when each attempt began and ended.
	type span struct{ begin, end time.Time }
	var spans []span
	for id := range ids {
		_, text := s.native(t, s.p1, "GET", "/v1/invocations/"+id+"/events", "")
		var events struct {
			Events []struct {
				Type string    `json:"type"`
				At   time.Time `json:"time"`
			} `json:"events"`
		}
		if err := json.Unmarshal([]byte(text), &events); err != nil {
			t.Fatal(err)
		}
		var one span
		for _, e := range events.Events {
			switch e.Type {
			case "deed.AttemptStarted.v1":
				one.begin = e.At
			case "deed.AttemptSucceeded.v1":
				one.end = e.At
			}
		}
		if one.begin.IsZero() || one.end.IsZero() {
			t.Fatalf("the events are %s", text)
		}
		spans = append(spans, one)
	}
	for i, a := range spans {
		for _, b := range spans[i+1:] {
			if a.begin.Before(b.end) && b.begin.Before(a.end) {
				t.Errorf("two at once: %v and %v", a, b)
			}
		}
	}
}

// TestDisabled: of a function that may have no instance nothing runs, and its destinations are told.
func TestDisabled(t *testing.T) {
	s, c := of(t)
	bucket := strings.ToLower(nameOf(t, "b"))
	urn, echo := c.create(t, nameOf(t, "f"), tiny("x")), c.create(t, nameOf(t, "echo"), module(t, "echo"))
	c.atMost(t, urn, 0)
	shown, err := c.ShowFunctionConfig(&model.ShowFunctionConfigRequest{FunctionUrn: urn})
	if err != nil || shown.StrategyConfig.Concurrency != 0 {
		t.Errorf("%+v %v", shown, err)
	}
	failure := func(d *model.FuncDestinationConfig) model.UpdateFunctionAsyncInvokeConfigRequestBody {
		return model.UpdateFunctionAsyncInvokeConfigRequestBody{DestinationConfig: &model.FuncAsyncDestinationConfig{OnFailure: d}}
	}
	c.configure(t, urn, failure(destination("OBS", fmt.Sprintf(`{"bucket":%q}`, bucket))))
	id := c.invoke(t, urn, object{"a": 1})
	same(t, "disabled", c.reach(t, urn, id, "DISCARD"), record(id, "DISCARD", 150434, matching(".")))
	if n := s.told(t, bucket, "", id); n.RequestContext.Condition != "Throttled" || n.RequestContext.ApproximateInvokeCount != 0 || n.RequestContext.FunctionURN != urn {
		t.Errorf("%+v", n)
	}
	c.configure(t, urn, failure(destination("FunctionGraph", fmt.Sprintf(`{"func_urn":%q}`, echo))))
	id = c.invoke(t, urn, object{"a": 2})
	c.reach(t, urn, id, "DISCARD")
	row := await(t, "the target's invocation", func() (model.ListFunctionAsyncInvocationsResult, bool) {
		l, err := c.ListAsyncInvocations(&model.ListAsyncInvocationsRequest{FunctionUrn: echo, Status: new("SUCCESS")})
		if err != nil || len(*l.Invocations) != 1 {
			return model.ListFunctionAsyncInvocationsResult{}, false
		}
		return (*l.Invocations)[0], true
	})
	_, result := s.native(t, s.p1, "GET", "/v1/invocations/"+*row.RequestId+"/result", "")
	if n := parseNotification(t, []byte(result)); n.RequestContext.RequestID != id || n.RequestContext.Condition != "Throttled" {
		t.Errorf("%s", result)
	}
	_, err = c.InvokeFunction(&model.InvokeFunctionRequest{FunctionUrn: urn, XCFFRequestVersion: new("v1"), Body: object{}})
	c.refused(t, "wait for a disabled one", err, 429, "FSS.0429", "")
	c.atMost(t, urn, 1)
	c.reach(t, urn, c.invoke(t, urn, object{}), "SUCCESS")
}

// TestRetries: a function that fails is tried again as often as its configuration says.
func TestRetries(t *testing.T) {
	s, c := of(t)
	urn := c.create(t, nameOf(t, "f"), module(t, "broken"))
	for _, a := range []struct {
		retries *int32
		want    int
	}{{new(int32(0)), 1}, {nil, 2}, {new(int32(2)), 3}} {
		c.configure(t, urn, model.UpdateFunctionAsyncInvokeConfigRequestBody{MaxAsyncRetryAttempts: a.retries})
		id := c.invoke(t, urn, object{})
		c.reach(t, urn, id, "FAIL")
		_, text := s.native(t, s.p1, "GET", "/v1/invocations/"+id+"/events", "")
		if n := strings.Count(text, `"deed.AttemptStarted.v1"`); n != a.want {
			t.Errorf("%d attempts, want %d: %s", n, a.want, text)
		}
	}
	// Between two attempts it waits.
	c.configure(t, urn, model.UpdateFunctionAsyncInvokeConfigRequestBody{MaxAsyncRetryAttempts: new(int32(3))})
	id := c.invoke(t, urn, object{})
	c.reach(t, urn, id, "WAIT")
	c.reach(t, urn, id, "FAIL")
}

func TestListInvocations(t *testing.T) {
	_, c := of(t)
	const most = 230
	urn := c.create(t, nameOf(t, "f"), tiny("x"))
	list := func(q model.ListAsyncInvocationsRequest) (*model.ListAsyncInvocationsResponse, error) {
		q.FunctionUrn = urn
		return c.ListAsyncInvocations(&q)
	}
	empty, err := list(model.ListAsyncInvocationsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "none", empty, object{"invocations": []any{}, "count": 0})
	var wg sync.WaitGroup
	var mu sync.Mutex
	missing := map[string]bool{}
	for w := range 10 {
		wg.Go(func() {
			for i := w; i < most; i += 10 {
				r, err := c.AsyncInvokeFunction(&model.AsyncInvokeFunctionRequest{FunctionUrn: urn, Body: object{"i": i}})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				missing[*r.RequestId] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	await(t, "all outcomes", func() (int32, bool) {
		l, err := list(model.ListAsyncInvocationsRequest{Status: new("SUCCESS"), Limit: new("1")})
		if err != nil {
			t.Fatal(err)
		}
		return *l.Count, *l.Count == most
	})
	marker, previous := "0", time.Now().Add(time.Hour)
	for page := 1; ; page++ {
		l, err := list(model.ListAsyncInvocationsRequest{Limit: new("100"), Marker: &marker})
		if err != nil {
			t.Fatal(err)
		}
		if *l.Count != most {
			t.Errorf("page %d: count %d", page, *l.Count)
		}
		for _, r := range *l.Invocations {
			if !missing[*r.RequestId] {
				t.Errorf("page %d: %s is listed twice, or is not ours", page, *r.RequestId)
			}
			delete(missing, *r.RequestId)
			if at := time.Time(*r.StartTime); at.After(previous) {
				t.Errorf("page %d: %s after %s", page, at, previous)
			} else {
				previous = at
			}
		}
		if page < 3 && (len(*l.Invocations) != 100 || l.NextMarker == nil || *l.NextMarker != int32(100*page)) {
			t.Fatalf("page %d has %d, next %v", page, len(*l.Invocations), l.NextMarker)
		}
		if page == 3 {
			if len(*l.Invocations) != 30 || l.NextMarker != nil {
				t.Errorf("the last page has %d, next %v", len(*l.Invocations), l.NextMarker)
			}
			break
		}
		marker = fmt.Sprint(*l.NextMarker)
	}
	if len(missing) != 0 {
		t.Errorf("%d are on no page", len(missing))
	}
	if l, err := list(model.ListAsyncInvocationsRequest{}); err != nil || len(*l.Invocations) != 100 || *l.NextMarker != 100 {
		t.Errorf("without a limit: %v", err)
	}
	if l, err := list(model.ListAsyncInvocationsRequest{Limit: new("230")}); err != nil || len(*l.Invocations) != 230 || l.NextMarker != nil {
		t.Errorf("limit 230: %v", err)
	}
	if l, err := list(model.ListAsyncInvocationsRequest{Marker: new("1000")}); err != nil || len(*l.Invocations) != 0 || *l.Count != 230 || l.NextMarker != nil {
		t.Errorf("marker 1000: %+v %v", l, err)
	}
	for _, id := range []string{"00000000-0000-4000-8000-000000000000", "nobody"} {
		l, err := list(model.ListAsyncInvocationsRequest{RequestId: &id})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "unknown", l, object{"invocations": []any{}, "count": 0})
	}

	at := func(d time.Duration) *sdktime.SdkTime { return new(sdktime.SdkTime(time.Now().UTC().Add(d))) }
	for what, a := range map[string]struct {
		begin, end *sdktime.SdkTime
		want       int32
	}{
		"around":     {at(-time.Minute * 9), at(time.Minute), most},
		"since":      {at(-time.Minute * 9), nil, most},
		"until now":  {nil, at(time.Second), most},
		"before":     {at(-2 * time.Hour), at(-time.Hour), 0},
		"tomorrow":   {at(24 * time.Hour), at(25 * time.Hour), 0},
		"a long one": {at(-100 * 24 * time.Hour), at(100 * 24 * time.Hour), most},
	} {
		l, err := list(model.ListAsyncInvocationsRequest{QueryBeginTime: a.begin, QueryEndTime: a.end})
		if err != nil || *l.Count != a.want {
			t.Errorf("%s: %+v %v, want %d", what, l, err, a.want)
		}
	}
	_, err = list(model.ListAsyncInvocationsRequest{QueryBeginTime: at(0), QueryEndTime: at(-time.Hour)})
	c.refused(t, "backwards", err, 400, "FSS.1001", "query_begin_time")
	for _, q := range []model.ListAsyncInvocationsRequest{
		{Limit: new("0")}, {Limit: new("501")}, {Limit: new("x")}, {Marker: new("-1")}, {Marker: new("x")}, {Status: new("DONE")}, {RequestId: new(strings.Repeat("a", 65))},
	} {
		_, err := list(q)
		c.refused(t, fmt.Sprintf("%+v", q), err, 400, "FSS.1001", "")
	}
	_, err = c.ListAsyncInvocations(&model.ListAsyncInvocationsRequest{FunctionUrn: "nobody"})
	c.refused(t, "of nobody", err, 404, "FSS.0404", "can not find function")
	_, err = c.ListActiveAsyncInvocations(&model.ListActiveAsyncInvocationsRequest{FunctionUrn: urn, Requests: new(strings.Repeat("a,", 10) + "a")})
	c.refused(t, "11 ids", err, 400, "FSS.1001", "10")
	active, err := c.ListActiveAsyncInvocations(&model.ListActiveAsyncInvocationsRequest{FunctionUrn: urn})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "active", active, object{"invocations": []any{}, "count": 0})

	statistics, err := c.ListFunctionStatistics(&model.ListFunctionStatisticsRequest{FuncUrn: urn, Period: "60"})
	if err != nil {
		t.Fatal(err)
	}
	sum := func(values *[]model.SlaReportsValue) (n float64) {
		for _, v := range *values {
			n += *v.Value
			if d := time.Since(time.UnixMilli(*v.Timestamp)); d < 0 || d > time.Hour {
				t.Errorf("a figure of %s ago", d)
			}
		}
		return n
	}
	if sum(statistics.Count) != most || sum(statistics.FailCount) != 0 || sum(statistics.RejectCount) != 0 || sum(statistics.Duration) <= 0 ||
		sum(statistics.FunctionErrorCount) != 0 || sum(statistics.SystemErrorCount) != 0 || sum(statistics.MaxDuration) < sum(statistics.MinDuration) ||
		statistics.ReservedInstanceNum == nil || statistics.ConcurrencyNum == nil {
		t.Errorf("%+v", statistics)
	}
	_, err = c.ListFunctionStatistics(&model.ListFunctionStatisticsRequest{FuncUrn: urn, Period: "x"})
	c.refused(t, "period x", err, 400, "FSS.1001", "period")
}

// TestAsyncEvents: what event a function gets, and which are too large.
func TestAsyncEvents(t *testing.T) {
	s, c := of(t)
	urn := c.create(t, nameOf(t, "f"), module(t, "echo"))
	result := func(id string) string {
		t.Helper()
		c.reach(t, urn, id, "SUCCESS")
		_, b := s.native(t, s.p1, "GET", "/v1/invocations/"+id+"/result", "")
		return b
	}
	if got := result(c.invoke(t, urn, nil)); got != "null\n" {
		t.Errorf("no event: %q", got)
	}
	fits := object{"x": strings.Repeat("x", 256<<10-len(`{"x":""}`)-1)}
	if got := result(c.invoke(t, urn, fits)); len(got) != 256<<10 {
		t.Errorf("the largest event came out with %d bytes", len(got))
	}
	fits["x"] = fits["x"].(string) + "x"
	_, err := c.AsyncInvokeFunction(&model.AsyncInvokeFunctionRequest{FunctionUrn: urn, Body: fits})
	c.refused(t, "a larger event", err, 413, "FSS.1201", "262144")
	_, err = c.AsyncInvokeFunction(&model.AsyncInvokeFunctionRequest{FunctionUrn: urn, XCffInstanceMemory: new("129")})
	c.refused(t, "129 MB", err, 406, "FSS.0406", "129")
	if _, err = c.AsyncInvokeFunction(&model.AsyncInvokeFunctionRequest{FunctionUrn: urn, XCffInstanceMemory: new("256")}); err != nil {
		t.Error(err)
	}
	for urn, code := range map[string]string{"nobody": "FSS.1051", c.urn(nameOf(t, "f"), "v1"): "FSS.1052", c.urn(nameOf(t, "f"), "!a"): "FSS.1053"} {
		_, err = c.AsyncInvokeFunction(&model.AsyncInvokeFunctionRequest{FunctionUrn: urn})
		c.refused(t, urn, err, 404, code, "Not found")
	}
}
