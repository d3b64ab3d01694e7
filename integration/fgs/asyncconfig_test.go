package fgs

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
)

// TestAsyncConfig sets, shows, replaces, lists and deletes asynchronous configurations.
func TestAsyncConfig(t *testing.T) {
	_, c := of(t)
	name, other := nameOf(t, "f"), nameOf(t, "target")
	urn, target := c.create(t, name, tiny("x")), c.create(t, other, tiny("x"))
	show := func(urn string) (*model.ShowFunctionAsyncInvokeConfigResponse, error) {
		return c.ShowFunctionAsyncInvokeConfig(&model.ShowFunctionAsyncInvokeConfigRequest{FunctionUrn: urn})
	}
	put := func(urn string, b model.UpdateFunctionAsyncInvokeConfigRequestBody) (*model.UpdateFunctionAsyncInvokeConfigResponse, error) {
		return c.UpdateFunctionAsyncInvokeConfig(&model.UpdateFunctionAsyncInvokeConfigRequest{FunctionUrn: urn, Body: &b})
	}
	_, err := show(urn)
	c.refused(t, "there is none", err, 404, "FSS.0404", "no asynchronous configuration")
	_, err = c.DeleteFunctionAsyncInvokeConfig(&model.DeleteFunctionAsyncInvokeConfigRequest{FunctionUrn: urn})
	c.refused(t, "delete none", err, 404, "FSS.0404", "no asynchronous configuration")

	// What a destination's param says comes back byte for byte, in whatever way its JSON was written.
	objects := "{ \"prefix\":\"/f\\u006fr/x=1/\" ,\t\"bucket\":\"results\",\n\"expires\": 5,\"more\":[1.0,null] }"
	targetParam := fmt.Sprintf(`{"func_urn":%q}`, target)
	answer, err := put(urn, model.UpdateFunctionAsyncInvokeConfigRequestBody{
		MaxAsyncEventAgeInSeconds: new(int32(3500)), MaxAsyncRetryAttempts: new(int32(2)), EnableAsyncStatusLog: new(true),
		DestinationConfig: &model.FuncAsyncDestinationConfig{OnSuccess: destination("OBS", objects), OnFailure: destination("FunctionGraph", targetParam)},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := object{
		"func_urn": urn, "max_async_event_age_in_seconds": 3500, "max_async_retry_attempts": 2, "enable_async_status_log": true, "created_time": recent, "last_modified": recent,
		"destination_config": object{"on_success": object{"destination": "OBS", "param": objects}, "on_failure": object{"destination": "FunctionGraph", "param": targetParam}},
	}
	same(t, "put", answer, want)
	if *answer.CreatedTime != *answer.LastModified {
		t.Errorf("created %s, modified %s", *answer.CreatedTime, *answer.LastModified)
	}
	shown, err := show(urn)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "show", shown, want)
	if shown, err = show(c.urn(name)); err != nil {
		t.Fatal(err)
	}
	same(t, "show without a version", shown, want)

	// A second one takes the place of the first, all of it.
	nextSecond(t)
	if answer, err = put(urn, model.UpdateFunctionAsyncInvokeConfigRequestBody{}); err != nil {
		t.Fatal(err)
	}
	want = with(want, object{"max_async_event_age_in_seconds": 3600, "max_async_retry_attempts": 1, "enable_async_status_log": false, "destination_config": object{}})
	same(t, "put nothing", answer, want)
	if *answer.CreatedTime != *shown.CreatedTime || *answer.LastModified <= *shown.LastModified {
		t.Errorf("created %s, then %s; modified %s, then %s", *shown.CreatedTime, *answer.CreatedTime, *shown.LastModified, *answer.LastModified)
	}
	none := func() *model.FuncDestinationConfig {
		return &model.FuncDestinationConfig{Destination: &model.FuncDestinationConfigDestination{}, Param: new("{}")}
	}
	if answer, err = put(urn, model.UpdateFunctionAsyncInvokeConfigRequestBody{
		MaxAsyncEventAgeInSeconds: new(int32(86400)), MaxAsyncRetryAttempts: new(int32(3)), DestinationConfig: &model.FuncAsyncDestinationConfig{OnSuccess: none(), OnFailure: none()},
	}); err != nil {
		t.Errorf("an empty destination: %v", err)
	} else if *answer.MaxAsyncEventAgeInSeconds != 86400 || *answer.MaxAsyncRetryAttempts != 3 {
		t.Errorf("an empty destination: %+v", answer)
	}

	// A version has its own.
	c.publish(t, urn, "v1")
	if _, err = put(c.urn(name, "v1"), model.UpdateFunctionAsyncInvokeConfigRequestBody{MaxAsyncRetryAttempts: new(int32(0)), MaxAsyncEventAgeInSeconds: new(int32(1))}); err != nil {
		t.Fatal(err)
	}
	l, err := c.ListFunctionAsyncInvokeConfig(&model.ListFunctionAsyncInvokeConfigRequest{FunctionUrn: urn})
	if err != nil {
		t.Fatal(err)
	}
	empty := like(func(any) error { return nil })
	row := object{"enable_async_status_log": false, "created_time": recent, "last_modified": recent, "destination_config": empty}
	latest := with(row, object{"func_urn": urn, "max_async_event_age_in_seconds": 86400, "max_async_retry_attempts": 3})
	v1 := with(row, object{"func_urn": c.urn(name, "v1"), "max_async_event_age_in_seconds": 1, "max_async_retry_attempts": 0})
	same(t, "list", l, object{"count": 2, "async_invoke_configs": list{latest, v1}, "page_info": object{"next_marker": 0, "previous_marker": 0, "current_count": 2}})
	if l, err = c.ListFunctionAsyncInvokeConfig(&model.ListFunctionAsyncInvokeConfigRequest{FunctionUrn: urn, Limit: new("1")}); err != nil {
		t.Fatal(err)
	}
	same(t, "page", l, object{"count": 2, "async_invoke_configs": list{latest}, "page_info": object{"next_marker": 1, "previous_marker": 0, "current_count": 1}})
	if l, err = c.ListFunctionAsyncInvokeConfig(&model.ListFunctionAsyncInvokeConfigRequest{FunctionUrn: urn, Limit: new("1"), Marker: new("1")}); err != nil {
		t.Fatal(err)
	}
	same(t, "last page", l, object{"count": 2, "async_invoke_configs": list{v1}, "page_info": object{"next_marker": 0, "previous_marker": 0, "current_count": 1}})
	for _, limit := range []string{"0", "1000"} {
		if l, err = c.ListFunctionAsyncInvokeConfig(&model.ListFunctionAsyncInvokeConfigRequest{FunctionUrn: urn, Limit: &limit}); err != nil || len(*l.AsyncInvokeConfigs) != 2 {
			t.Errorf("limit %s: %+v %v", limit, l, err)
		}
	}
	_, err = c.ListFunctionAsyncInvokeConfig(&model.ListFunctionAsyncInvokeConfigRequest{FunctionUrn: urn, Limit: new("-1")})
	c.refused(t, "limit -1", err, 400, "FSS.1001", "limit")

	if r, err := c.DeleteFunctionAsyncInvokeConfig(&model.DeleteFunctionAsyncInvokeConfigRequest{FunctionUrn: urn}); err != nil || r.HttpStatusCode != 204 {
		t.Errorf("delete: %+v %v", r, err)
	}
	_, err = show(urn)
	c.refused(t, "show what was deleted", err, 404, "FSS.0404", "no asynchronous configuration")
	if r, err := show(c.urn(name, "v1")); err != nil || *r.FuncUrn != c.urn(name, "v1") {
		t.Errorf("the version's: %+v %v", r, err)
	}
}

// TestAsyncConfigRefused provokes what is refused of an asynchronous configuration.
func TestAsyncConfigRefused(t *testing.T) {
	_, c := of(t)
	a, b := c.create(t, nameOf(t, "a"), tiny("x")), c.create(t, nameOf(t, "b"), tiny("x"))
	poor := c.create(t, nameOf(t, "poor"), tiny("x"), func(b *model.CreateFunctionRequestBody) { b.Xrole = nil })
	put := func(urn string, change func(*model.UpdateFunctionAsyncInvokeConfigRequestBody)) error {
		var body model.UpdateFunctionAsyncInvokeConfigRequestBody
		change(&body)
		_, err := c.UpdateFunctionAsyncInvokeConfig(&model.UpdateFunctionAsyncInvokeConfigRequest{FunctionUrn: urn, Body: &body})
		return err
	}
	to := func(kind, param string) func(*model.UpdateFunctionAsyncInvokeConfigRequestBody) {
		return func(b *model.UpdateFunctionAsyncInvokeConfigRequestBody) {
			b.DestinationConfig = &model.FuncAsyncDestinationConfig{OnFailure: destination(kind, param)}
		}
	}
	for what, x := range map[string]struct {
		words  string
		change func(*model.UpdateFunctionAsyncInvokeConfigRequestBody)
	}{
		"age 0": {"86400", func(b *model.UpdateFunctionAsyncInvokeConfigRequestBody) { b.MaxAsyncEventAgeInSeconds = new(int32(0)) }},
		"age 86401": {"86401", func(b *model.UpdateFunctionAsyncInvokeConfigRequestBody) {
			b.MaxAsyncEventAgeInSeconds = new(int32(86401))
		}},
		"retries -1":      {"-1", func(b *model.UpdateFunctionAsyncInvokeConfigRequestBody) { b.MaxAsyncRetryAttempts = new(int32(-1)) }},
		"retries 4":       {"4", func(b *model.UpdateFunctionAsyncInvokeConfigRequestBody) { b.MaxAsyncRetryAttempts = new(int32(4)) }},
		"SMN":             {"not available", to("SMN", `{"topic_urn":"urn:smn:x"}`)},
		"no stream":       {"stream_name", to("DIS", `{}`)},
		"bad stream":      {"stream's name", to("DIS", `{"stream_name":"a/b"}`)},
		"own topic":       {"deed.", to("DIS", `{"stream_name":"deed.invocations"}`)},
		"no JSON":         {"JSON", to("OBS", `bucket`)},
		"no bucket":       {"bucket", to("OBS", `{"prefix":"p"}`)},
		"bad bucket":      {"", to("OBS", `{"bucket":"../x"}`)},
		"bad prefix":      {"", to("OBS", `{"bucket":"b","prefix":"/../../x"}`)},
		"expires":         {"366", to("OBS", `{"bucket":"b","expires":366}`)},
		"no URN":          {"func_urn", to("FunctionGraph", `{}`)},
		"unknown URN":     {"", to("FunctionGraph", `{"func_urn":"nobody"}`)},
		"unknown version": {"", to("FunctionGraph", fmt.Sprintf(`{"func_urn":%q}`, strings.Replace(b, ":latest", ":v7", 1)))},
		"other project":   {"project", to("FunctionGraph", fmt.Sprintf(`{"func_urn":%q}`, strings.Replace(b, ":p1:", ":p2:", 1)))},
		"large param":     {"4096", to("OBS", `{"bucket":"b","x":"`+strings.Repeat("x", 5000)+`"}`)},
	} {
		c.refused(t, what, put(a, x.change), 400, "FSS.0400", x.words)
	}
	c.refused(t, "no agency", put(poor, to("OBS", `{"bucket":"bucket"}`)), 400, "FSS.1021", "xrole")
	if err := put(poor, func(b *model.UpdateFunctionAsyncInvokeConfigRequestBody) {
		b.DestinationConfig = &model.FuncAsyncDestinationConfig{}
	}); err != nil {
		t.Errorf("no destination needs no agency: %v", err)
	}
	c.refused(t, "itself", put(a, to("FunctionGraph", fmt.Sprintf(`{"func_urn":%q}`, a))), 409, "FSS.0409", "")
	if err := put(a, to("FunctionGraph", fmt.Sprintf(`{"func_urn":%q}`, b))); err != nil {
		t.Fatal(err)
	}
	c.refused(t, "a circle", put(b, to("FunctionGraph", fmt.Sprintf(`{"func_urn":%q}`, a))), 409, "FSS.0409", "")
	_, err := c.UpdateFunctionConfig(&model.UpdateFunctionConfigRequest{FunctionUrn: a, Body: &model.UpdateFunctionConfigRequestBody{
		FuncName: nameOf(t, "a"), Runtime: model.GetUpdateFunctionConfigRequestBodyRuntimeEnum().CUSTOM, Timeout: 7, Handler: "a.b", MemorySize: 128, Xrole: new(""),
	}})
	c.refused(t, "take the agency away", err, 400, "FSS.1021", "xrole")
	for _, urn := range []string{"nobody", "nobody:v1"} {
		err := put(c.urn(urn), func(*model.UpdateFunctionAsyncInvokeConfigRequestBody) {})
		c.refused(t, urn, err, 404, "FSS.1051", "Not found the function")
	}
	c.refused(t, "no version", put(strings.Replace(a, ":latest", ":v1", 1), func(*model.UpdateFunctionAsyncInvokeConfigRequestBody) {}), 404, "FSS.1052", "Not found the function version")
}

func TestStatusLog(t *testing.T) {
	s := keyed(t)
	k, err := s.makeKey(s.operator, "--project", "logging")
	if err != nil {
		t.Fatal(err)
	}
	c := s.dial(t, k, "logging")
	_, err = c.ShowProjectAsyncStatusLogInfo(&model.ShowProjectAsyncStatusLogInfoRequest{})
	c.refused(t, "before", err, 404, "FSS.0404", "not enabled")
	for range 2 {
		if r, err := c.EnableAsyncStatusLog(&model.EnableAsyncStatusLogRequest{}); err != nil || r.HttpStatusCode != 200 {
			t.Errorf("enable: %+v %v", r, err)
		}
		if n := c.last().ContentLength; n != 0 {
			t.Errorf("the answer has %d bytes", n)
		}
	}
	r, err := c.ShowProjectAsyncStatusLogInfo(&model.ShowProjectAsyncStatusLogInfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "after", r, object{
		"group_name": "function-async-log-group-logging", "stream_name": "function-async-log-stream-logging", "group_id": requestID, "stream_id": requestID,
	})
}

func TestReserved(t *testing.T) {
	s := keyed(t)
	k, err := s.makeKey(s.operator, "--project", "reserving")
	if err != nil {
		t.Fatal(err)
	}
	c := s.dial(t, k, "reserving")
	urn := c.create(t, "f", tiny("x"))
	c.publish(t, urn, "v1")
	if _, err := c.CreateVersionAlias(&model.CreateVersionAliasRequest{FunctionUrn: urn, Body: &model.CreateVersionAliasRequestBody{Name: "way", Version: "v1"}}); err != nil {
		t.Fatal(err)
	}
	tactics := &model.TacticsConfig{
		CronConfigs:   &[]model.CronConfig{{Name: new("c"), Cron: new("0 */10 * * * ?"), Count: new(int32(2)), StartTime: new(int64(1700000000)), ExpiredTime: new(int64(1800000000))}},
		MetricConfigs: &[]model.MetricConfig{{Name: new("m"), Type: new(model.GetMetricConfigTypeEnum().CONCURRENCY), Threshold: new(int32(30)), Min: new(int32(1))}},
	}
	wantTactics := object{
		"cron_configs":   list{object{"name": "c", "cron": "0 */10 * * * ?", "count": 2, "start_time": 1700000000, "expired_time": 1800000000}},
		"metric_configs": list{object{"name": "m", "type": "Concurrency", "threshold": 30, "min": 1}},
	}
	r, err := c.UpdateFunctionReservedInstancesCount(&model.UpdateFunctionReservedInstancesCountRequest{
		FunctionUrn: c.urn("f", "v1"), Body: &model.UpdateFunctionReservedInstancesCountRequestBody{Count: 3, IdleMode: new(true), TacticsConfig: tactics},
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "reserve", r, object{"count": 3, "idle_mode": true, "tactics_config": wantTactics})
	if _, err = c.UpdateFunctionReservedInstancesCount(&model.UpdateFunctionReservedInstancesCountRequest{
		FunctionUrn: c.urn("f", "!way"), Body: &model.UpdateFunctionReservedInstancesCountRequestBody{Count: 1},
	}); err != nil {
		t.Fatal(err)
	}
	_, err = c.UpdateFunctionReservedInstancesCount(&model.UpdateFunctionReservedInstancesCountRequest{
		FunctionUrn: urn, Body: &model.UpdateFunctionReservedInstancesCountRequestBody{Count: 1001},
	})
	c.refused(t, "1001", err, 400, "FSS.0400", "1000")
	configs, err := c.ListReservedInstanceConfigs(&model.ListReservedInstanceConfigsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	version := object{"function_urn": c.urn("f"), "qualifier_type": "version", "qualifier_name": "v1", "min_count": 3, "idle_mode": true, "tactics_config": wantTactics}
	alias := object{"function_urn": c.urn("f"), "qualifier_type": "alias", "qualifier_name": "way", "min_count": 1}
	same(t, "configs", configs, object{"count": 2, "reserved_instances": list{version, alias}, "page_info": object{"next_marker": 0, "previous_marker": 0, "current_count": 2}})
	if configs, err = c.ListReservedInstanceConfigs(&model.ListReservedInstanceConfigsRequest{FunctionUrn: new(c.urn("f", "!way")), Limit: new("100"), Marker: new("0")}); err != nil {
		t.Fatal(err)
	}
	same(t, "the alias's", configs, object{"count": 1, "reserved_instances": list{alias}, "page_info": object{"next_marker": 0, "previous_marker": 0, "current_count": 1}})
	instances, err := c.ListFunctionReservedInstances(&model.ListFunctionReservedInstancesRequest{Limit: new("1")})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "instances", instances, object{
		"count": 2, "reservedinstances": list{object{"func_urn": c.urn("f", "v1"), "count": 3}}, "page_info": object{"next_marker": 1, "previous_marker": 0, "current_count": 1},
	})
	if instances, err = c.ListFunctionReservedInstances(&model.ListFunctionReservedInstancesRequest{Urn: new(c.urn("f", "v1"))}); err != nil || len(*instances.Reservedinstances) != 1 {
		t.Errorf("of one: %+v %v", instances, err)
	}
	_, err = c.ListFunctionReservedInstances(&model.ListFunctionReservedInstancesRequest{Urn: new("nobody")})
	c.refused(t, "of none", err, 404, "FSS.1051", "Not found the function")
}

// notification is the record that a destination gets.
type notification struct {
	Timestamp      string `json:"timestamp"`
	RequestContext struct {
		RequestID              string `json:"request_id"`
		FunctionURN            string `json:"function_urn"`
		Condition              string `json:"condition"`
		ApproximateInvokeCount int    `json:"approximate_invoke_count"`
	} `json:"request_context"`
	RequestPayload  string `json:"request_payload"`
	ResponseContext struct {
		StatusCode    int    `json:"status_code"`
		FunctionError string `json:"function_error"`
	} `json:"response_context"`
	ResponsePayload string `json:"response_payload"`
}

func parseNotification(t testing.TB, b []byte) notification {
	t.Helper()
	var n notification
	if err := json.Unmarshal(b, &n); err != nil {
		t.Errorf("the notification is %q: %v", b, err)
	}
	return n
}
