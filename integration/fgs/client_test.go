package fgs

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/httphandler"
	functiongraph "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
)

// client is the SDK's, which also keeps the last answer's head. It is for one goroutine.
type client struct {
	*functiongraph.FunctionGraphClient
	project string

	mu   sync.Mutex
	seen http.Response
}

func (c *client) last() http.Response {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

func (c *client) config() *config.HttpConfig {
	return config.DefaultHttpConfig().WithTimeout(patience).WithHttpHandler(httphandler.NewHttpHandler().AddResponseHandler(func(r http.Response) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.seen = r
	}))
}

// dial is a client of a project, with a key.
func (n *node) dial(t testing.TB, k key, project string) *client {
	t.Helper()
	if k.Access == "" {
		k = key{"any", "any"} // the SDK signs in any case
	}
	credentials, err := basic.NewCredentialsBuilder().WithAk(k.Access).WithSk(k.Secret).WithProjectId(project).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	c := &client{project: project}
	h, err := functiongraph.FunctionGraphClientBuilder().WithEndpoint(n.url()).WithCredential(credentials).WithHttpConfig(c.config()).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	c.FunctionGraphClient = functiongraph.NewFunctionGraphClient(h)
	return c
}

// of is the shared node and p1's client.
func of(t testing.TB) (stage, *client) {
	t.Helper()
	s := keyed(t)
	return s, s.dial(t, s.p1, "p1")
}

var notName = regexp.MustCompile(`[^A-Za-z0-9-]+`)

// nameOf is a function's name that no other test has.
func nameOf(t testing.TB, more string) string {
	return strings.Trim(notName.ReplaceAllString(strings.TrimPrefix(t.Name(), "Test")+"-"+more, "-"), "-")
}

// region is the node's.
const region = "local"

// urn is a function's URN, with a version or an alias if there is one.
func (c *client) urn(name string, qualifier ...string) string {
	return strings.Join(append([]string{fmt.Sprintf("urn:fss:%s:%s:function:default:%s", region, c.project, name)}, qualifier...), ":")
}

// body is what a function is made with.
func body(name string, code []byte) *model.CreateFunctionRequestBody {
	return &model.CreateFunctionRequestBody{
		FuncName: name, Package: "default", Runtime: model.GetCreateFunctionRequestBodyRuntimeEnum().CUSTOM, Timeout: 30, Handler: "index.handler", MemorySize: 128,
		CodeType: new(model.GetCreateFunctionRequestBodyCodeTypeEnum().ZIP), CodeFilename: new("index.zip"), Xrole: new("agency"), FuncCode: &model.FuncCode{File: new(base64Of(code))},
	}
}

// create makes a function and returns its URN, which ends in latest.
func (c *client) create(t testing.TB, name string, code []byte, change ...func(*model.CreateFunctionRequestBody)) string {
	t.Helper()
	b := body(name, code)
	for _, f := range change {
		f(b)
	}
	r, err := c.CreateFunction(&model.CreateFunctionRequest{Body: b})
	if err != nil {
		t.Fatalf("create %s: %v", name, err)
	}
	return *r.FuncUrn
}

// invoke invokes asynchronously and returns the id.
func (c *client) invoke(t testing.TB, urn string, event object) string {
	t.Helper()
	r, err := c.AsyncInvokeFunction(&model.AsyncInvokeFunctionRequest{FunctionUrn: urn, Body: event})
	if err != nil {
		t.Fatalf("invoke %s: %v", urn, err)
	}
	if r.RequestId == nil || !uuid.MatchString(*r.RequestId) || r.HttpStatusCode != 202 {
		t.Fatalf("invoke %s: %+v", urn, r)
	}
	return *r.RequestId
}

// find is an invocation's record; ok is false if it is not listed.
func (c *client) find(t testing.TB, urn, id string) (r model.ListFunctionAsyncInvocationsResult, ok bool) {
	t.Helper()
	l, err := c.ListAsyncInvocations(&model.ListAsyncInvocationsRequest{FunctionUrn: urn, RequestId: &id})
	if err != nil {
		t.Fatalf("list %s: %v", urn, err)
	}
	if len(*l.Invocations) == 0 {
		return r, false
	}
	return (*l.Invocations)[0], true
}

// reach waits until an invocation has the status.
func (c *client) reach(t testing.TB, urn, id, status string) model.ListFunctionAsyncInvocationsResult {
	t.Helper()
	return await(t, id+" "+status, func() (model.ListFunctionAsyncInvocationsResult, bool) {
		r, ok := c.find(t, urn, id)
		if !ok {
			return r, false
		}
		got := r.Status.Value()
		if final := got == "SUCCESS" || got == "FAIL" || got == "DISCARD"; final && got != status {
			t.Fatalf("%s is %s (%d %s), want %s", id, got, *r.ErrorCode, *r.ErrorMessage, status)
		}
		return r, got == status
	})
}

// configure sets the asynchronous configuration.
func (c *client) configure(t testing.TB, urn string, b model.UpdateFunctionAsyncInvokeConfigRequestBody) {
	t.Helper()
	if _, err := c.UpdateFunctionAsyncInvokeConfig(&model.UpdateFunctionAsyncInvokeConfigRequest{FunctionUrn: urn, Body: &b}); err != nil {
		t.Fatalf("configure %s: %v", urn, err)
	}
}

// atMost sets how many instances a function may have.
func (c *client) atMost(t testing.TB, urn string, n int32) {
	t.Helper()
	if _, err := c.UpdateFunctionMaxInstanceConfig(&model.UpdateFunctionMaxInstanceConfigRequest{
		FunctionUrn: urn, Body: &model.UpdateFunctionMaxInstanceConfigRequestBody{MaxInstanceNum: &n},
	}); err != nil {
		t.Fatalf("limit %s: %v", urn, err)
	}
}

// publish makes a version.
func (c *client) publish(t testing.TB, urn, version string) {
	t.Helper()
	if _, err := c.CreateFunctionVersion(&model.CreateFunctionVersionRequest{FunctionUrn: urn, Body: &model.CreateFunctionVersionRequestBody{Version: &version}}); err != nil {
		t.Fatalf("publish %s: %v", version, err)
	}
}

// recode changes a function's code.
func (c *client) recode(t testing.TB, urn string, code []byte) {
	t.Helper()
	if _, err := c.UpdateFunctionCode(&model.UpdateFunctionCodeRequest{FunctionUrn: urn, Body: &model.UpdateFunctionCodeRequestBody{
		CodeType: model.GetUpdateFunctionCodeRequestBodyCodeTypeEnum().ZIP, FuncCode: &model.FuncCode{File: new(base64Of(code))},
	}}); err != nil {
		t.Fatalf("recode %s: %v", urn, err)
	}
}

// destination is where an outcome is told.
func destination(kind, param string) *model.FuncDestinationConfig {
	e := model.GetFuncDestinationConfigDestinationEnum()
	d := map[string]model.FuncDestinationConfigDestination{"OBS": e.OBS, "SMN": e.SMN, "DIS": e.DIS, "FunctionGraph": e.FUNCTION_GRAPH}[kind]
	return &model.FuncDestinationConfig{Destination: &d, Param: &param}
}

// nextSecond waits until the clock shows another second, for times are of whole seconds.
func nextSecond(t testing.TB) {
	t.Helper()
	begin := time.Now().Unix()
	await(t, "the next second", func() (int64, bool) { now := time.Now().Unix(); return now, now != begin })
}
