package fgs

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
)

func TestVersions(t *testing.T) {
	_, c := of(t)
	name, one, two := nameOf(t, "f"), tiny("one"), tiny("two")
	urn := c.create(t, name, one)
	c.configure(t, urn, model.UpdateFunctionAsyncInvokeConfigRequestBody{MaxAsyncRetryAttempts: new(int32(2))})
	inVersion := func(o object) object {
		return without(o, "func_id", "resource_id", "depend_list", "depend_version_list")
	}
	config := object{
		"max_async_event_age_in_seconds": 3600, "max_async_retry_attempts": 2, "destination_config": object{}, "created_time": recent, "last_modified": recent,
	}
	published, err := c.CreateFunctionVersion(&model.CreateFunctionVersionRequest{
		FunctionUrn: urn, Body: &model.CreateFunctionVersionRequestBody{Version: new("v1"), Description: new("the first"), Digest: new("0123")},
	})
	if err != nil {
		t.Fatal(err)
	}
	v1 := with(c.function(name, one), object{"func_urn": c.urn(name, "v1"), "version": "v1", "image_name": matching(`^v1-\d{12}@[0-9a-f]{5}$`)})
	wantV1 := with(inVersion(v1), object{"version_description": "the first", "function_async_config": config}) // it keeps what the function had
	same(t, "publish", published, wantV1)

	_, err = c.CreateFunctionVersion(&model.CreateFunctionVersionRequest{FunctionUrn: urn, Body: &model.CreateFunctionVersionRequestBody{Version: new("v2")}})
	c.refused(t, "publish no change", err, 400, "FSS.1016", "nothing")
	c.recode(t, urn, two)
	_, err = c.CreateFunctionVersion(&model.CreateFunctionVersionRequest{FunctionUrn: urn, Body: &model.CreateFunctionVersionRequestBody{Version: new("v1")}})
	c.refused(t, "publish the same name", err, 409, "FSS.1062", "")
	_, err = c.CreateFunctionVersion(&model.CreateFunctionVersionRequest{FunctionUrn: urn, Body: &model.CreateFunctionVersionRequestBody{Version: new("v 1")}})
	c.refused(t, "publish a bad name", err, 400, "FSS.1015", "version")
	_, err = c.CreateFunctionVersion(&model.CreateFunctionVersionRequest{FunctionUrn: urn, Body: &model.CreateFunctionVersionRequestBody{Description: new(strings.Repeat("x", 513))}})
	c.refused(t, "publish a long story", err, 400, "FSS.1019", "512")
	named, err := c.CreateFunctionVersion(&model.CreateFunctionVersionRequest{FunctionUrn: urn, Body: &model.CreateFunctionVersionRequestBody{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := matching(`^v\d{8}-\d{6}$`)(*named.Version); err != nil {
		t.Errorf("a version without a name is %s: %v", *named.Version, err)
	}

	// What was published stays as it is.
	if r, err := c.ShowFunctionCode(&model.ShowFunctionCodeRequest{FunctionUrn: c.urn(name, "v1")}); err != nil || *r.FuncCode.File != base64Of(one) || *r.Digest != sha(one) {
		t.Errorf("the code of v1: %+v %v", r, err)
	}
	shown, err := c.ShowFunctionConfig(&model.ShowFunctionConfigRequest{FunctionUrn: c.urn(name, "v1")})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "show v1", shown, v1)
	_, err = c.UpdateFunctionCode(&model.UpdateFunctionCodeRequest{FunctionUrn: c.urn(name, "v1"), Body: &model.UpdateFunctionCodeRequestBody{
		CodeType: model.GetUpdateFunctionCodeRequestBodyCodeTypeEnum().ZIP, FuncCode: &model.FuncCode{File: new(base64Of(two))},
	}})
	c.refused(t, "recode v1", err, 400, "FSS.1015", "v1")
	_, err = c.UpdateFunctionConfig(&model.UpdateFunctionConfigRequest{FunctionUrn: c.urn(name, "v1"), Body: &model.UpdateFunctionConfigRequestBody{
		FuncName: name, Runtime: model.GetUpdateFunctionConfigRequestBodyRuntimeEnum().CUSTOM, Timeout: 7, Handler: "a.b", MemorySize: 128,
	}})
	c.refused(t, "configure v1", err, 400, "FSS.1015", "v1")
	_, err = c.ShowFunctionConfig(&model.ShowFunctionConfigRequest{FunctionUrn: c.urn(name, "v9")})
	c.refused(t, "show v9", err, 404, "FSS.1052", "Not found the function version")

	l, err := c.ListFunctionVersions(&model.ListFunctionVersionsRequest{FunctionUrn: urn})
	if err != nil {
		t.Fatal(err)
	}
	latest := with(inVersion(c.function(name, two)), object{"function_async_config": config, "code_filename": ""})
	row := func(o object) object { return without(o, "dependencies", "description", "version_description") } // the SDK's type has none of them
	same(t, "versions", l, object{"count": 3, "versions": list{
		row(latest),
		with(row(latest), object{"func_urn": c.urn(name, *named.Version), "version": *named.Version, "image_name": matching(`^v`)}),
		row(wantV1),
	}})
	page, err := c.ListFunctionVersions(&model.ListFunctionVersionsRequest{FunctionUrn: urn, Marker: new("1"), Maxitems: new("1")})
	if err != nil || len(*page.Versions) != 1 || (*page.Versions)[0].Version != *named.Version || page.NextMarker == nil || *page.NextMarker != 2 {
		t.Errorf("page: %+v %v", page, err)
	}
	if page, err = c.ListFunctionVersions(&model.ListFunctionVersionsRequest{FunctionUrn: urn, Marker: new("2"), Maxitems: new("1")}); err != nil || len(*page.Versions) != 1 || page.NextMarker != nil {
		t.Errorf("last page: %+v %v", page, err)
	}

	if r, err := c.DeleteFunction(&model.DeleteFunctionRequest{FunctionUrn: c.urn(name, "v1")}); err != nil || r.HttpStatusCode != 204 {
		t.Errorf("delete v1: %+v %v", r, err)
	}
	_, err = c.DeleteFunction(&model.DeleteFunctionRequest{FunctionUrn: c.urn(name, "v1")})
	c.refused(t, "delete v1 again", err, 404, "FSS.1052", "Not found the function version")
	if l, err = c.ListFunctionVersions(&model.ListFunctionVersionsRequest{FunctionUrn: urn}); err != nil || len(*l.Versions) != 2 || *l.Count != 2 {
		t.Errorf("versions after: %+v %v", l, err)
	}
	for i := 2; i < 20; i++ {
		c.recode(t, urn, tiny(fmt.Sprint("more", i)))
		c.publish(t, urn, fmt.Sprint("w", i))
	}
	c.recode(t, urn, tiny("too many"))
	_, err = c.CreateFunctionVersion(&model.CreateFunctionVersionRequest{FunctionUrn: urn, Body: &model.CreateFunctionVersionRequestBody{Version: new("w20")}})
	c.refused(t, "the 21st version", err, 403, "FSS.0403", "20")
}

func TestAliases(t *testing.T) {
	_, c := of(t)
	name := nameOf(t, "f")
	urn := c.create(t, name, tiny("1"))
	for i := 1; i <= 12; i++ {
		if i > 1 {
			c.recode(t, urn, tiny(fmt.Sprint(i)))
		}
		c.publish(t, urn, fmt.Sprint("v", i))
	}
	l, err := c.ListVersionAliases(&model.ListVersionAliasesRequest{FunctionUrn: urn})
	if err != nil || l.Body == nil || len(*l.Body) != 0 {
		t.Fatalf("no aliases: %+v %v", l, err)
	}
	rules := map[string]model.VersionStrategy{"v2": {
		CombineType: new(model.GetVersionStrategyCombineTypeEnum().AND),
		Rules: &[]model.VersionStrategyRules{{
			RuleType: new(model.GetVersionStrategyRulesRuleTypeEnum().HEADER), Param: new("X-Who"), Op: new(model.GetVersionStrategyRulesOpEnum().EQUAL), Value: new("me"),
		}},
	}}
	wantRules := object{"v2": object{"combine_type": "and", "rules": list{object{"rule_type": "header", "param": "X-Who", "op": "=", "value": "me"}}}}
	made, err := c.CreateVersionAlias(&model.CreateVersionAliasRequest{FunctionUrn: urn, Body: &model.CreateVersionAliasRequestBody{
		Name: "prod", Version: "v1", Description: new("what runs"), AdditionalVersionWeights: map[string]int32{"v2": 20},
	}})
	if err != nil {
		t.Fatal(err)
	}
	prod := object{
		"name": "prod", "version": "v1", "description": "what runs", "last_modified": recent, "alias_urn": c.urn(name, "!prod"), "additional_version_weights": object{"v2": 20},
	}
	same(t, "create", made, prod)
	shown, err := c.ShowVersionAlias(&model.ShowVersionAliasRequest{FunctionUrn: urn, AliasName: "prod"})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "show", shown, prod)
	ruled, err := c.CreateVersionAlias(&model.CreateVersionAliasRequest{FunctionUrn: urn, Body: &model.CreateVersionAliasRequestBody{
		Name: "test", Version: "v3", AdditionalVersionStrategy: rules,
	}})
	if err != nil {
		t.Fatal(err)
	}
	test := object{"name": "test", "version": "v3", "description": "", "last_modified": recent, "alias_urn": c.urn(name, "!test")}
	same(t, "create with rules", ruled, with(test, object{"additional_version_strategy": wantRules}))
	if l, err = c.ListVersionAliases(&model.ListVersionAliasesRequest{FunctionUrn: urn}); err != nil {
		t.Fatal(err)
	}
	same(t, "list", l, object{"body": list{prod, test}})
	changed, err := c.UpdateVersionAlias(&model.UpdateVersionAliasRequest{FunctionUrn: urn, AliasName: "prod", Body: &model.UpdateVersionAliasRequestBody{
		Version: "v2", Description: new("new"), AdditionalVersionWeights: map[string]int32{"v1": 0},
	}})
	if err != nil {
		t.Fatal(err)
	}
	prod = with(prod, object{"version": "v2", "description": "new", "additional_version_weights": object{"v1": 0}})
	same(t, "update", changed, prod)
	if shown, err = c.ShowVersionAlias(&model.ShowVersionAliasRequest{FunctionUrn: urn, AliasName: "prod"}); err != nil {
		t.Fatal(err)
	}
	same(t, "show again", shown, prod)

	create := func(b model.CreateVersionAliasRequestBody) error {
		_, err := c.CreateVersionAlias(&model.CreateVersionAliasRequest{FunctionUrn: urn, Body: &b})
		return err
	}
	c.refused(t, "twice", create(model.CreateVersionAliasRequestBody{Name: "prod", Version: "v4"}), 409, "FSS.1063", "")
	c.refused(t, "an aliased version", create(model.CreateVersionAliasRequestBody{Name: "other", Version: "v2"}), 409, "FSS.1066", "prod")
	c.refused(t, "a bad name", create(model.CreateVersionAliasRequestBody{Name: "!a", Version: "v4"}), 400, "FSS.1014", "alias")
	c.refused(t, "no version", create(model.CreateVersionAliasRequestBody{Name: "a"}), 400, "FSS.1015", "version")
	c.refused(t, "an unknown version", create(model.CreateVersionAliasRequestBody{Name: "a", Version: "v99"}), 404, "FSS.1052", "v99")
	weigh := func(w map[string]int32) model.CreateVersionAliasRequestBody {
		return model.CreateVersionAliasRequestBody{Name: "a", Version: "v4", AdditionalVersionWeights: w}
	}
	c.refused(t, "latest beside", create(weigh(map[string]int32{"latest": 1})), 400, "FSS.1091", "latest")
	c.refused(t, "unknown beside", create(weigh(map[string]int32{"v99": 1})), 400, "FSS.1091", "v99")
	c.refused(t, "two beside", create(weigh(map[string]int32{"v5": 1, "v6": 1})), 400, "FSS.1091", "one")
	c.refused(t, "101 percent", create(weigh(map[string]int32{"v5": 101})), 400, "FSS.1092", "101")
	c.refused(t, "itself beside", create(weigh(map[string]int32{"v4": 1})), 400, "FSS.1093", "")
	_, err = c.DeleteFunction(&model.DeleteFunctionRequest{FunctionUrn: c.urn(name, "v1")})
	c.refused(t, "delete an additional version", err, 403, "FSS.1094", "prod")
	_, err = c.DeleteFunction(&model.DeleteFunctionRequest{FunctionUrn: c.urn(name, "v3")})
	c.refused(t, "delete an aliased version", err, 409, "FSS.1066", "test")
	for i := 4; i <= 11; i++ {
		if err := create(model.CreateVersionAliasRequestBody{Name: fmt.Sprint("a", i), Version: fmt.Sprint("v", i)}); err != nil {
			t.Error(err)
		}
	}
	c.refused(t, "the eleventh", create(model.CreateVersionAliasRequestBody{Name: "more", Version: "v12"}), 403, "FSS.1043", "10")

	if r, err := c.DeleteVersionAlias(&model.DeleteVersionAliasRequest{FunctionUrn: urn, AliasName: "prod"}); err != nil || r.HttpStatusCode != 204 {
		t.Errorf("delete: %+v %v", r, err)
	}
	_, err = c.ShowVersionAlias(&model.ShowVersionAliasRequest{FunctionUrn: urn, AliasName: "prod"})
	c.refused(t, "show what was deleted", err, 404, "FSS.1053", "Not found the function alias")
	_, err = c.DeleteVersionAlias(&model.DeleteVersionAliasRequest{FunctionUrn: urn, AliasName: "prod"})
	c.refused(t, "delete again", err, 404, "FSS.1053", "Not found the function alias")
	_, err = c.UpdateVersionAlias(&model.UpdateVersionAliasRequest{FunctionUrn: urn, AliasName: "prod", Body: &model.UpdateVersionAliasRequestBody{Version: "v1"}})
	c.refused(t, "update what was deleted", err, 404, "FSS.1053", "Not found the function alias")
	_, err = c.AsyncInvokeFunction(&model.AsyncInvokeFunctionRequest{FunctionUrn: c.urn(name, "!prod")})
	c.refused(t, "invoke what was deleted", err, 404, "FSS.1053", "Not found the function alias")
}

// TestAliasRoutes: an alias leads to its version, or to its additional one, by weight or by rule.
func TestAliasRoutes(t *testing.T) {
	_, c := of(t)
	name := nameOf(t, "f")
	urn := c.create(t, name, module(t, "echo"))
	c.publish(t, urn, "plain")
	c.recode(t, urn, module(t, "shout"))
	c.publish(t, urn, "loud")
	if _, err := c.CreateVersionAlias(&model.CreateVersionAliasRequest{FunctionUrn: urn, Body: &model.CreateVersionAliasRequestBody{Name: "way", Version: "plain"}}); err != nil {
		t.Fatal(err)
	}
	set := func(weights map[string]int32, strategy map[string]model.VersionStrategy) {
		t.Helper()
		if _, err := c.UpdateVersionAlias(&model.UpdateVersionAliasRequest{FunctionUrn: urn, AliasName: "way", Body: &model.UpdateVersionAliasRequestBody{
			Version: "plain", AdditionalVersionWeights: weights, AdditionalVersionStrategy: strategy,
		}}); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(headers map[string]string) string {
		t.Helper()
		i := c.InvokeFunctionInvoker(&model.InvokeFunctionRequest{FunctionUrn: c.urn(name, "!way"), XCFFRequestVersion: new("v1"), Body: object{"a": "b"}})
		i.AddHeaders(headers)
		r, err := i.Invoke()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(*r.Result)
	}
	const plain, loud = `{"a":"b"}`, `{"A":"B"}`
	for range 5 {
		if got := ask(nil); got != plain {
			t.Errorf("the main version: %s", got)
		}
	}
	set(map[string]int32{"loud": 100}, nil)
	for range 20 {
		if got := ask(nil); got != loud {
			t.Errorf("100 percent: %s", got)
		}
	}
	set(map[string]int32{"loud": 0}, nil)
	for range 20 {
		if got := ask(nil); got != plain {
			t.Errorf("0 percent: %s", got)
		}
	}
	set(map[string]int32{"loud": 50}, nil)
	seen := map[string]int{}
	for range 60 {
		seen[ask(nil)]++
	}
	if seen[plain] == 0 || seen[loud] == 0 {
		t.Errorf("50 percent: %v", seen)
	}

	types, ops, combine := model.GetVersionStrategyRulesRuleTypeEnum(), model.GetVersionStrategyRulesOpEnum(), model.GetVersionStrategyCombineTypeEnum()
	rules := func(how model.VersionStrategyCombineType) map[string]model.VersionStrategy {
		return map[string]model.VersionStrategy{"loud": {CombineType: &how, Rules: &[]model.VersionStrategyRules{
			{RuleType: &types.HEADER, Param: new("X-Who"), Op: &ops.EQUAL, Value: new("me")},
			{RuleType: &types.COOKIE, Param: new("where"), Op: &ops.IN, Value: new("here,there")},
		}}}
	}
	cookie := (&http.Cookie{Name: "where", Value: "there"}).String()
	for _, a := range []struct {
		how     model.VersionStrategyCombineType
		headers map[string]string
		want    string
	}{
		{combine.AND, nil, plain},
		{combine.AND, map[string]string{"X-Who": "me"}, plain},
		{combine.AND, map[string]string{"X-Who": "me", "Cookie": cookie}, loud},
		{combine.AND, map[string]string{"X-Who": "you", "Cookie": cookie}, plain},
		{combine.OR, nil, plain},
		{combine.OR, map[string]string{"X-Who": "me"}, loud},
		{combine.OR, map[string]string{"Cookie": cookie}, loud},
		{combine.OR, map[string]string{"Cookie": "where=nowhere"}, plain},
	} {
		set(nil, rules(a.how))
		if got := ask(a.headers); got != a.want {
			t.Errorf("%s %v: %s, want %s", a.how.Value(), a.headers, got, a.want)
		}
	}

	// An asynchronous invocation goes the same way, and is listed under the alias, the version and the function.
	set(map[string]int32{"loud": 100}, nil)
	id := c.invoke(t, c.urn(name, "!way"), object{"a": "b"})
	c.reach(t, c.urn(name, "!way"), id, "SUCCESS")
	for qualifier, want := range map[string]bool{"loud": true, "plain": false, "latest": false} {
		if _, ok := c.find(t, c.urn(name, qualifier), id); ok != want {
			t.Errorf("listed under %s: %t", qualifier, ok)
		}
	}
	if _, ok := c.find(t, c.urn(name), id); !ok {
		t.Error("not listed under the function")
	}
}
