package fgs

import (
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
)

func sha(b []byte) string {
	sum := sha512.Sum512(b)
	return hex.EncodeToString(sum[:])
}

// function is what FunctionGraph's function object is of one that was made by body.
func (c *client) function(name string, module []byte) object {
	id := c.urn(name)
	return object{
		"func_id": id, "resource_id": id, "func_urn": c.urn(name, "latest"), "func_name": name, "domain_id": "", "namespace": c.project, "project_name": c.project,
		"package": "default", "runtime": "Custom", "timeout": 30, "handler": "index.handler", "memory_size": 128, "cpu": 300, "code_type": "zip",
		"code_filename": "index.zip", "code_size": len(module), "digest": sha(module), "version": "latest", "image_name": matching(`^latest-\d{12}@[0-9a-f]{5}$`),
		"xrole": "agency", "last_modified": recent, "depend_list": list{}, "depend_version_list": list{}, "dependencies": list{}, "long_time": false, "type": "v2",
		"strategy_config": object{"concurrency": 400, "concurrent_num": 1}, // the default of the service
	}
}

// without is a copy of an object without some members: not every answer has all.
func without(o object, names ...string) object {
	out := with(o, nil)
	for _, n := range names {
		delete(out, n)
	}
	return out
}

func TestFunction(t *testing.T) {
	_, c := of(t)
	name, code := nameOf(t, "f"), tiny("one")
	urn := c.urn(name, "latest")
	b := body(name, zipped(t, "bootstrap.wasm", code))
	b.UserData, b.AppXrole, b.Description = new(`{"A":"b","C":"d"}`), new("app"), new("what it does: <&>")
	b.EnterpriseProjectId, b.EnableDynamicMemory, b.IsStatefulFunction, b.EnableLtsLog = new("ep"), new(true), new(false), new(true)
	b.LtsCustomTag, b.Type = map[string]string{"k": "v"}, new(model.GetCreateFunctionRequestBodyTypeEnum().V2)
	said := object{
		"user_data": *b.UserData, "app_xrole": "app", "description": *b.Description, "enterprise_project_id": "ep", "enable_dynamic_memory": true,
		"is_stateful_function": false, "enable_lts_log": true, "lts_custom_tag": object{"k": "v"},
	}
	want := with(c.function(name, code), said)

	created, err := c.CreateFunction(&model.CreateFunctionRequest{Body: b})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "create", created, want)
	if created.HttpStatusCode != 200 || !strings.HasSuffix(*created.FuncUrn, ":latest") {
		t.Errorf("create: %d %s", created.HttpStatusCode, *created.FuncUrn)
	}

	shown, err := c.ShowFunctionConfig(&model.ShowFunctionConfigRequest{FunctionUrn: urn})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "show", shown, want)
	for _, short := range []string{name, "default:" + name, "p1:default:" + name, "p1:default:" + name + ":latest", c.urn(name)} {
		r, err := c.ShowFunctionConfig(&model.ShowFunctionConfigRequest{FunctionUrn: short})
		if err != nil || *r.FuncUrn != urn {
			t.Errorf("show %s: %+v %v", short, r, err)
		}
	}

	codes, err := c.ShowFunctionCode(&model.ShowFunctionCodeRequest{FunctionUrn: urn})
	if err != nil {
		t.Fatal(err)
	}
	ofCode := object{}
	for _, n := range []string{
		"func_urn", "func_name", "domain_id", "runtime", "code_type", "code_filename", "code_size", "digest", "last_modified", "depend_list", "depend_version_list", "dependencies", "strategy_config",
	} {
		ofCode[n] = want[n]
	}
	same(t, "show code", codes, with(ofCode, object{"func_code": object{"file": base64Of(code), "link": ""}}))

	two := tiny("two")
	updated, err := c.UpdateFunctionCode(&model.UpdateFunctionCodeRequest{FunctionUrn: urn, Body: &model.UpdateFunctionCodeRequestBody{
		CodeType: model.GetUpdateFunctionCodeRequestBodyCodeTypeEnum().INLINE, FuncCode: &model.FuncCode{File: new(base64Of(two))},
	}})
	if err != nil {
		t.Fatal(err)
	}
	ofCode = with(ofCode, object{"code_type": "inline", "code_filename": "", "code_size": len(two), "digest": sha(two)})
	same(t, "update code", updated, with(ofCode, object{"func_code": object{}}))
	if codes, err = c.ShowFunctionCode(&model.ShowFunctionCodeRequest{FunctionUrn: urn}); err != nil {
		t.Fatal(err)
	}
	same(t, "show the new code", codes, with(ofCode, object{"func_code": object{"file": base64Of(two), "link": ""}}))

	configured, err := c.UpdateFunctionConfig(&model.UpdateFunctionConfigRequest{FunctionUrn: urn, Body: &model.UpdateFunctionConfigRequestBody{
		FuncName: name, Runtime: model.GetUpdateFunctionConfigRequestBodyRuntimeEnum().GO1_X, Timeout: 7, Handler: "other.handler", MemorySize: 256, UserData: new(`{"A":"z"}`),
		Xrole: new("other"), Description: new("new"), StrategyConfig: &model.StrategyConfig{Concurrency: 5, ConcurrentNum: 1}, EphemeralStorage: new(int32(512)),
		EnableAuthInHeader: new(true), DomainNames: new("[]"), HeartbeatHandler: new("h.b"), EnableClassIsolation: new(false), ExtendConfig: new("x"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	want = with(want, object{
		"runtime": "Go1.x", "timeout": 7, "handler": "other.handler", "memory_size": 256, "cpu": 400, "user_data": `{"A":"z"}`, "xrole": "other", "description": "new",
		"strategy_config": object{"concurrency": 5, "concurrent_num": 1}, "code_type": "inline", "code_filename": "", "code_size": len(two), "digest": sha(two),
		"ephemeral_storage": 512, "enable_auth_in_header": true, "domain_names": "[]", "heartbeat_handler": "h.b", "enable_class_isolation": false, "extend_config": "x",
	})
	// The SDK's types of these answers have fewer members than there are.
	same(t, "update config", configured, without(want, "depend_list", "depend_version_list", "heartbeat_handler", "enable_class_isolation", "extend_config"))
	if shown, err = c.ShowFunctionConfig(&model.ShowFunctionConfigRequest{FunctionUrn: c.urn(name)}); err != nil {
		t.Fatal(err)
	}
	same(t, "show the new config", shown, without(want, "domain_names", "extend_config"))

	limited, err := c.UpdateFunctionMaxInstanceConfig(&model.UpdateFunctionMaxInstanceConfigRequest{
		FunctionUrn: urn, Body: &model.UpdateFunctionMaxInstanceConfigRequestBody{MaxInstanceNum: new(int32(-1))},
	})
	if err != nil {
		t.Fatal(err)
	}
	want["strategy_config"] = object{"concurrency": -1, "concurrent_num": 1}
	same(t, "limit", limited, without(want, "func_id", "resource_id", "depend_list", "depend_version_list", "ephemeral_storage", "heartbeat_handler", "enable_class_isolation",
		"extend_config", "enable_lts_log", "lts_custom_tag"))

	if r, err := c.DeleteFunction(&model.DeleteFunctionRequest{FunctionUrn: c.urn(name)}); err != nil || r.HttpStatusCode != 204 {
		t.Errorf("delete: %+v %v", r, err)
	}
	_, err = c.ShowFunctionConfig(&model.ShowFunctionConfigRequest{FunctionUrn: urn})
	c.refused(t, "show what was deleted", err, 404, "FSS.1051", "Not found the function")
	_, err = c.DeleteFunction(&model.DeleteFunctionRequest{FunctionUrn: urn[:len(urn)-len(":latest")]})
	c.refused(t, "delete it again", err, 404, "FSS.1051", "Not found the function")
}

func TestListFunctions(t *testing.T) {
	s := keyed(t)
	k, err := s.makeKey(s.operator, "--project", "listing")
	if err != nil {
		t.Fatal(err)
	}
	c := s.dial(t, k, "listing")
	if l, err := c.ListFunctions(&model.ListFunctionsRequest{}); err != nil {
		t.Fatal(err)
	} else {
		same(t, "none", l, object{"functions": list{}, "count": 0})
	}
	for i := range 5 {
		c.create(t, fmt.Sprint("f", i), tiny("x"), func(b *model.CreateFunctionRequestBody) {
			if i == 3 {
				b.Package = "other"
			}
		})
	}
	l, err := c.ListFunctions(&model.ListFunctionsRequest{PackageName: new("default"), FuncName: new("4")})
	if err != nil {
		t.Fatal(err)
	}
	item := without(c.function("f4", tiny("x")), "func_id", "depend_list", "depend_version_list", "dependencies")
	same(t, "one", l, object{"count": 1, "functions": list{item}})
	seen := map[string]bool{}
	for marker, pages := "0", 1; ; pages++ {
		l, err := c.ListFunctions(&model.ListFunctionsRequest{Marker: &marker, Maxitems: new("2")})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range *l.Functions {
			seen[f.FuncUrn] = true
		}
		if *l.Count != 5 {
			t.Errorf("count %d", *l.Count)
		}
		if l.NextMarker == nil {
			if pages != 3 || len(*l.Functions) != 1 {
				t.Errorf("page %d is the last, with %d", pages, len(*l.Functions))
			}
			break
		}
		marker = fmt.Sprint(*l.NextMarker)
	}
	if len(seen) != 5 {
		t.Errorf("%d functions on the pages: %v", len(seen), seen)
	}
	for query, words := range map[string]string{"-1": "maxitems", "x": "maxitems"} {
		_, err := c.ListFunctions(&model.ListFunctionsRequest{Maxitems: &query})
		c.refused(t, "maxitems "+query, err, 400, "FSS.1001", words)
	}
	for _, q := range []string{"0", "401", "999999"} {
		if l, err := c.ListFunctions(&model.ListFunctionsRequest{Maxitems: &q}); err != nil || len(*l.Functions) != 5 {
			t.Errorf("maxitems %s: %+v %v", q, l, err)
		}
	}
	_, err = c.ListFunctions(&model.ListFunctionsRequest{Marker: new("-3")})
	c.refused(t, "marker", err, 400, "FSS.1001", "marker")
}

// TestFunctionRefused provokes what the service refuses of a new or changed function.
func TestFunctionRefused(t *testing.T) {
	_, c := of(t)
	name := nameOf(t, "f")
	types := model.GetCreateFunctionRequestBodyCodeTypeEnum()
	for what, a := range map[string]struct {
		status      int
		code, words string
		change      func(b *model.CreateFunctionRequestBody)
	}{
		"name":          {400, "FSS.1002", "", func(b *model.CreateFunctionRequestBody) { b.FuncName = "1a" }},
		"long name":     {400, "FSS.1002", "", func(b *model.CreateFunctionRequestBody) { b.FuncName = strings.Repeat("a", 61) }},
		"reserved name": {400, "FSS.1002", "word of this API", func(b *model.CreateFunctionRequestBody) { b.FuncName = "import" }},
		"handler":       {400, "FSS.1003", "handler", func(b *model.CreateFunctionRequestBody) { b.Handler = "handler" }},
		"package":       {400, "FSS.1004", "package", func(b *model.CreateFunctionRequestBody) { b.Package = "a b" }},
		"runtime":       {400, "FSS.1005", "", func(b *model.CreateFunctionRequestBody) { b.Runtime = model.CreateFunctionRequestBodyRuntime{} }},
		"obs code": {400, "FSS.1006", "", func(b *model.CreateFunctionRequestBody) {
			b.CodeType, b.CodeUrl, b.FuncCode = &types.OBS, new("https://x/y.zip"), nil
		}},
		"jar": {400, "FSS.1006", "jar", func(b *model.CreateFunctionRequestBody) { b.CodeType = &types.JAR }},
		"image": {400, "FSS.1006", "custom_image", func(b *model.CreateFunctionRequestBody) {
			b.CustomImage = &model.CustomImage{Enabled: new(true), Image: new("i")}
		}},
		"memory":         {400, "FSS.1007", "129", func(b *model.CreateFunctionRequestBody) { b.MemorySize = 129 }},
		"timeout":        {400, "FSS.1008", "2", func(b *model.CreateFunctionRequestBody) { b.Timeout = 2 }},
		"long timeout":   {400, "FSS.1008", "259200", func(b *model.CreateFunctionRequestBody) { b.Timeout = 259200 }},
		"user data":      {400, "FSS.1009", "user_data", func(b *model.CreateFunctionRequestBody) { b.UserData = new(`{"a":1}`) }},
		"encrypted":      {400, "FSS.1009", "encrypted_user_data", func(b *model.CreateFunctionRequestBody) { b.EncryptedUserData = new(`{"a":"b"}`) }},
		"many user data": {400, "FSS.1017", "21", func(b *model.CreateFunctionRequestBody) { b.UserData = new(pairs(21)) }},
		"much user data": {400, "FSS.1018", "4096", func(b *model.CreateFunctionRequestBody) {
			b.UserData = new(`{"a":"` + strings.Repeat("x", 5000) + `"}`)
		}},
		"description": {400, "FSS.1019", "512", func(b *model.CreateFunctionRequestBody) { b.Description = new(strings.Repeat("ü", 513)) }},
		"agency":      {400, "FSS.1021", "xrole", func(b *model.CreateFunctionRequestBody) { b.Xrole = new("no agency") }},
		"code": {400, "FSS.1011", "text", func(b *model.CreateFunctionRequestBody) {
			b.FuncCode.File = new(base64Of([]byte("def handler(event, context):")))
		}},
		"not base64": {400, "FSS.1011", "base64", func(b *model.CreateFunctionRequestBody) { b.FuncCode.File = new("!!!!") }},
		"no code":    {400, "FSS.1012", "func_code", func(b *model.CreateFunctionRequestBody) { b.FuncCode = nil }},
		"large inline": {413, "FSS.1072", "10 KB", func(b *model.CreateFunctionRequestBody) {
			b.CodeType, b.FuncCode.File = &types.INLINE, new(base64Of(make([]byte, 11<<10)))
		}},
		"initializer": {400, "FSS.1404", "initializer_handler", func(b *model.CreateFunctionRequestBody) { b.InitializerHandler = new("a.b") }},
		"vpc":         {400, "FSS.0400", "func_vpc", func(b *model.CreateFunctionRequestBody) { b.FuncVpc = &model.FuncVpc{VpcId: "v", SubnetId: "s"} }},
	} {
		b := body(name, tiny("x"))
		a.change(b)
		_, err := c.CreateFunction(&model.CreateFunctionRequest{Body: b})
		c.refused(t, what, err, a.status, a.code, a.words)
	}
	_, err := c.ShowFunctionConfig(&model.ShowFunctionConfigRequest{FunctionUrn: name})
	c.refused(t, "nothing was made", err, 404, "FSS.1051", "Not found the function")

	urn := c.create(t, name, tiny("x"))
	_, err = c.CreateFunction(&model.CreateFunctionRequest{Body: body(name, tiny("x"))})
	c.refused(t, "create twice", err, 409, "FSS.1061", "The function has existed")
	for n, code := range map[int32]string{-2: "FSS.1026", 1001: "FSS.1026"} {
		_, err = c.UpdateFunctionMaxInstanceConfig(&model.UpdateFunctionMaxInstanceConfigRequest{FunctionUrn: urn, Body: &model.UpdateFunctionMaxInstanceConfigRequestBody{MaxInstanceNum: &n}})
		c.refused(t, fmt.Sprint("limit ", n), err, 400, code, fmt.Sprint(n))
	}
	_, err = c.UpdateFunctionMaxInstanceConfig(&model.UpdateFunctionMaxInstanceConfigRequest{FunctionUrn: urn, Body: &model.UpdateFunctionMaxInstanceConfigRequestBody{}})
	c.refused(t, "limit of nothing", err, 400, "FSS.1026", "max_instance_num")
	_, err = c.DeleteFunction(&model.DeleteFunctionRequest{FunctionUrn: urn})
	c.refused(t, "delete latest", err, 400, "FSS.1015", "latest")
	for _, bad := range []string{"p1:default:f:latest:x", "a:b:c:d:e", c.urn(name) + ":latest:x", "urn:oss:local:p1:function:default:f", "1", strings.Repeat("a", 300)} {
		_, err = c.ShowFunctionConfig(&model.ShowFunctionConfigRequest{FunctionUrn: bad})
		c.refused(t, bad, err, 400, "FSS.1309", "function URN")
	}
	for _, bad := range []string{"a/b", "a//b", "..", ""} {
		_, err = c.AsyncInvokeFunction(&model.AsyncInvokeFunctionRequest{FunctionUrn: bad})
		if err == nil {
			t.Errorf("invoke %q: no error", bad)
		}
	}
	_, err = c.ShowFunctionConfig(&model.ShowFunctionConfigRequest{FunctionUrn: strings.Replace(urn, ":p1:", ":p2:", 1)})
	c.refused(t, "another project's", err, 403, "FSS.0403", "project")
	if r, err := c.ShowFunctionConfig(&model.ShowFunctionConfigRequest{FunctionUrn: strings.Replace(urn, ":local:", ":cn-north-4:", 1)}); err != nil || *r.FuncUrn != urn {
		t.Errorf("by another region: %+v %v", r, err)
	}
}

func pairs(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"k%d":"v"`, i)
	}
	return "{" + b.String()[1:] + "}"
}

func TestTags(t *testing.T) {
	s := keyed(t)
	k, err := s.makeKey(s.operator, "--project", "tagging")
	if err != nil {
		t.Fatal(err)
	}
	c := s.dial(t, k, "tagging")
	one, two := c.create(t, "one", tiny("x")), c.create(t, "two", tiny("x"))
	tags := func(kv ...string) *model.UpdateFunctionTagsRequestBody {
		var out []model.KvItem
		for i := 0; i < len(kv); i += 2 {
			out = append(out, model.KvItem{Key: &kv[i], Value: &kv[i+1]})
		}
		return &model.UpdateFunctionTagsRequestBody{Action: new("create"), Tags: &out}
	}
	for _, a := range []struct {
		urn  string
		body *model.UpdateFunctionTagsRequestBody
	}{{one, tags("env", "test", "who", "me")}, {two, tags("env", "prod")}, {one, tags("who", "you")}} {
		if r, err := c.CreateTags(&model.CreateTagsRequest{ResourceType: "functions", ResourceId: a.urn, Body: a.body}); err != nil || r.HttpStatusCode != 204 {
			t.Errorf("tag %s: %+v %v", a.urn, r, err)
		}
	}
	l, err := c.ListFunctionTags(&model.ListFunctionTagsRequest{ResourceType: "functions", ResourceId: one})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "tags", l, object{"tags": list{object{"key": "env", "value": "test"}, object{"key": "who", "value": "you"}}, "sys_tags": list{}})
	all, err := c.ShowProjectTagsList(&model.ShowProjectTagsListRequest{ResourceType: "functions"})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "all tags", all, object{"tags": list{object{"key": "env", "values": list{"prod", "test"}}, object{"key": "who", "values": list{"you"}}}, "sys_tags": list{}})
	if r, err := c.DeleteTags(&model.DeleteTagsRequest{ResourceType: "functions", ResourceId: one, Body: tags("env", "test")}); err != nil || r.HttpStatusCode != 204 {
		t.Errorf("untag: %+v %v", r, err)
	}
	if l, err = c.ListFunctionTags(&model.ListFunctionTagsRequest{ResourceType: "functions", ResourceId: one}); err != nil {
		t.Fatal(err)
	}
	same(t, "the rest", l, object{"tags": list{object{"key": "who", "value": "you"}}, "sys_tags": list{}})

	_, err = c.ListFunctionTags(&model.ListFunctionTagsRequest{ResourceType: "functions", ResourceId: "nobody"})
	c.refused(t, "tags of none", err, 404, "FSS.1051", "Not found the function")
	_, err = c.CreateTags(&model.CreateTagsRequest{ResourceType: "functions", ResourceId: one, Body: tags("", "x")})
	c.refused(t, "no key", err, 400, "FSS.0400", "key")
	var many []string
	for i := range 20 {
		many = append(many, fmt.Sprint("t", i), "v")
	}
	_, err = c.CreateTags(&model.CreateTagsRequest{ResourceType: "functions", ResourceId: one, Body: tags(many...)})
	c.refused(t, "21 tags", err, 403, "FSS.0403", "20")
}

// TestQuotas makes as many functions as a project may have.
func TestQuotas(t *testing.T) {
	s := keyed(t)
	k, err := s.makeKey(s.operator, "--project", "full")
	if err != nil {
		t.Fatal(err)
	}
	c := s.dial(t, k, "full")
	most := 400
	if testing.Short() {
		most = 0
	}
	for i := range most {
		c.create(t, fmt.Sprint("f", i), tiny("x"))
	}
	q, err := c.ListQuotas(&model.ListQuotasRequest{})
	if err != nil {
		t.Fatal(err)
	}
	used := 0
	if most > 0 {
		used = 1 // MB, rounded up
		_, err = c.CreateFunction(&model.CreateFunctionRequest{Body: body("more", tiny("x"))})
		c.refused(t, "one more", err, 403, "FSS.1041", "400")
	}
	same(t, "quotas", q, object{"quotas": object{"resources": list{
		object{"type": "fgs_func_num", "quota": 400, "used": most},
		object{"type": "fgs_func_code_size", "quota": 10240, "used": used, "unit": "MB"},
		object{"type": "fgs_func_occurs", "quota": 1000, "used": 0},
		object{"type": "fgs_on_demand_instance_limit", "quota": 1000, "used": 0},
	}}})
}
