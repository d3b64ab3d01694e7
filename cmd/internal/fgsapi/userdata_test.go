package fgsapi

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"deed/domain"
)

func TestUserData(t *testing.T) {
	for in, want := range map[string][]domain.EnvVar{
		"": nil, "{}": nil, " { } ": nil,
		`{"b":"2","a":"1"}`:     {{Name: "a", Value: "1"}, {Name: "b", Value: "2"}},
		`{"a":"","é":"\u00e9"}`: {{Name: "a"}, {Name: "é", Value: "é"}},
		userObject(20):          nil,
	} {
		got, err := UserData(in)
		if err != nil || want != nil && !slices.Equal(got, want) {
			t.Errorf("%s: %v %v", in, got, err)
		}
	}
	for in, code := range map[string]string{
		"null": "FSS.1009", "[]": "FSS.1009", `"a"`: "FSS.1009", "{": "FSS.1009", `{"a"}`: "FSS.1009", `{"a":}`: "FSS.1009", `{"a":"s3cret"`: "FSS.1009",
		`{"a":"s3cret"}{}`: "FSS.1009", `{"a":"s3cret"} x`: "FSS.1009", `{"a":"s3cret",}`: "FSS.1009", `{a:"s3cret"}`: "FSS.1009",
		`{"a":1}`: "FSS.1009", `{"a":true}`: "FSS.1009", `{"a":null}`: "FSS.1009", `{"a":{"b":"c"}}`: "FSS.1009", `{"a":[]}`: "FSS.1009",
		`{"a":"s3cret","a":"s3cret"}`: "FSS.1009", `{"a":"s3cret","\u0061":"2"}`: "FSS.1009", `{"":"s3cret"}`: "FSS.1009", `{"a=b":"s3cret"}`: "FSS.1009",
		`{"DEED_X":"s3cret"}`: "FSS.1009", `{"a":"s3cret\u0000"}`: "FSS.1009",
		userObject(21): "FSS.1017", `{"a":"` + strings.Repeat("x", 4090) + `"}`: "FSS.1018",
	} {
		_, err := UserData(in)
		wantFault(t, err, code)
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("a value is repeated: %v", err)
		}
	}
}

// userObject has n members.
func userObject(n int) string {
	var m []string
	for i := range n {
		m = append(m, fmt.Sprintf(`"k%d":"v"`, i))
	}
	return "{" + strings.Join(m, ",") + "}"
}

func FuzzUserData(f *testing.F) {
	for _, s := range []string{"", "{}", `{"a":"b"}`, `{"a":1}`, `{"a":"b","a":"c"}`, userObject(21), `{"a":{`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		env, err := UserData(s)
		if err != nil {
			return
		}
		if len(env) > maxUserPairs || domain.CheckEnv(env) != nil || !slices.IsSortedFunc(env, func(a, b domain.EnvVar) int { return strings.Compare(a.Name, b.Name) }) {
			t.Fatal(env)
		}
	})
}
