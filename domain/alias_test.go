package domain_test

import (
	"strings"
	"testing"

	"deed/domain"
)

func TestAliasRoutes(t *testing.T) {
	rules := []domain.AliasRule{
		{Kind: "header", Param: "tier", Op: "=", Values: []string{"gold"}},
		{Kind: "cookie", Param: "beta", Op: "in", Values: []string{"yes", "on"}},
	}
	both := func(a domain.Alias) domain.Alias { a.Rules = rules; return a }
	weighted := domain.Alias{Version: "v1", Other: "v2", Weight: 30}
	anyOf := both(domain.Alias{Version: "v1", Other: "v2", AnyRule: true})
	allOf := both(domain.Alias{Version: "v1", Other: "v2", Weight: 100})
	call := func(header, cookie string) func(kind, param string) string {
		return func(kind, param string) string {
			return map[string]string{"header/tier": header, "cookie/beta": cookie}[kind+"/"+param]
		}
	}
	for _, tt := range []struct {
		name  string
		alias domain.Alias
		draw  int
		value func(kind, param string) string
		want  string
	}{
		{"alone", domain.Alias{Version: "v1", Weight: 100}, 0, call("", ""), "v1"},
		{"below the weight", weighted, 29, call("", ""), "v2"},
		{"at the weight", weighted, 30, call("", ""), "v1"},
		{"any, none", anyOf, 0, call("silver", ""), "v1"},
		{"any, the first", anyOf, 0, call("gold", ""), "v2"},
		{"any, the second", anyOf, 0, call("", "on"), "v2"},
		{"all, one", allOf, 0, call("gold", "off"), "v1"},
		{"all, both", allOf, 99, call("gold", "yes"), "v2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.alias.Route(tt.draw, tt.value); got != tt.want {
				t.Errorf("goes to %s, want %s", got, tt.want)
			}
		})
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		name  string
		check func(string) error
		ok    bool
	}{
		{"v1.2_3-x", domain.CheckVersion, true},
		{"7", domain.CheckVersion, true},
		{strings.Repeat("v", 42), domain.CheckVersion, true},
		{strings.Repeat("v", 43), domain.CheckVersion, false},
		{strings.Repeat("a", 63), domain.CheckAlias, true},
		{strings.Repeat("a", 64), domain.CheckAlias, false},
		{"", domain.CheckAlias, false},
		{"a-", domain.CheckPackage, false},
		{"a:b", domain.CheckPackage, false},
		{"ü", domain.CheckPackage, false},
		{"", domain.CheckQualifier, true},
		{"!blue", domain.CheckQualifier, true},
		{"!", domain.CheckQualifier, false},
		{"blue!", domain.CheckQualifier, false},
	} {
		if err := tt.check(tt.name); (err == nil) != tt.ok {
			t.Errorf("%q: %v", tt.name, err)
		}
	}
}
