package domain_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"deed/domain"
)

// rejection is the *Rejection that err must be; nil if err is nil.
func rejection(t *testing.T, err error) *domain.Rejection {
	t.Helper()
	if err == nil {
		return nil
	}
	var r *domain.Rejection
	if !errors.As(err, &r) {
		t.Fatalf("%v (%T) is not a *Rejection", err, err)
	}
	return r
}

// check compares an answer with what was expected: "" is a yes, anything else is words that the no must contain.
func check(t *testing.T, err error, code domain.Code, words string) {
	t.Helper()
	r := rejection(t, err)
	switch {
	case words == "" && r == nil:
	case words == "":
		t.Fatalf("refused: %v", r)
	case r == nil:
		t.Fatalf("not refused; expected words with %q", words)
	case r.Code != code || !strings.Contains(r.Words, words):
		t.Fatalf("refused as %q with %q; expected %q with %q", r.Code, r.Words, code, words)
	}
}

// TestFailures follows every kind of failure to the condition and the status code that people are told.
func TestFailures(t *testing.T) {
	want := map[domain.FailureKind]struct {
		condition domain.Condition
		status    int
		platform  bool
	}{
		domain.FailedHandled:        {domain.HandledInvocationError, 200, false},
		domain.FailedExit:           {domain.UnhandledInvocationError, 500, false},
		domain.FailedTrap:           {domain.UnhandledInvocationError, 500, false},
		domain.FailedTimeout:        {domain.InvocationTimeout, 500, false},
		domain.FailedMemory:         {domain.UnhandledInvocationError, 500, false},
		domain.FailedOutputTooLarge: {domain.UnhandledInvocationError, 500, false},
		domain.FailedBadModule:      {domain.UnhandledInvocationError, 500, false},
		domain.FailedCanceled:       {domain.Canceled, 500, false},
		domain.FailedLost:           {domain.SystemError, 500, true},
		domain.FailedPlatform:       {domain.SystemError, 500, true},
	}
	kinds := domain.FailureKinds()
	if len(kinds) != len(want) {
		t.Fatalf("%d kinds are listed, %d expected", len(kinds), len(want))
	}
	for _, k := range kinds {
		w, ok := want[k]
		if !ok {
			t.Fatalf("%s is not expected, or listed twice", k)
		}
		delete(want, k)
		if c := domain.ConditionOf(k); c != w.condition || domain.StatusCode(c) != w.status || k.Platform() != w.platform {
			t.Errorf("%s: %s, %d, platform %t; expected %+v", k, c, domain.StatusCode(c), k.Platform(), w)
		}
	}
	if c := domain.ConditionOf(domain.NoFailure); c != domain.NoCondition || domain.StatusCode(c) != 200 {
		t.Errorf("success: %q, %d", c, domain.StatusCode(c))
	}
	if c := domain.ConditionOf("a newer version's"); c != domain.SystemError {
		t.Errorf("an unknown kind: %s", c)
	}
	for _, c := range []domain.Condition{domain.EventAgeExceeded, domain.Throttled, domain.CyclicInvocation} {
		if domain.StatusCode(c) != 500 {
			t.Errorf("%s: %d", c, domain.StatusCode(c))
		}
	}
}

func TestPolicyCheck(t *testing.T) {
	const retries, age = "allowed are 0 to 3", "allowed are whole seconds from 1s to 86400s"
	tests := []struct {
		name  string
		p     domain.Policy
		words string
	}{
		{"least", domain.Policy{MaxAge: time.Second}, ""},
		{"most", domain.Policy{MaxRetries: 3, MaxAge: 24 * time.Hour}, ""},
		{"retries below", domain.Policy{MaxRetries: -1, MaxAge: time.Hour}, retries},
		{"retries above", domain.Policy{MaxRetries: 4, MaxAge: time.Hour}, retries},
		{"age of nothing", domain.Policy{}, age},
		{"age below", domain.Policy{MaxAge: time.Second - 1}, age},
		{"age above", domain.Policy{MaxAge: 24*time.Hour + time.Second}, age},
		{"age in parts of a second", domain.Policy{MaxAge: 1500 * time.Millisecond}, age},
		{"targets", domain.Policy{MaxAge: time.Hour, OnSuccess: "function:next", OnFailure: "obs://bucket/failed"}, ""},
		{"a wrong success target", domain.Policy{MaxAge: time.Hour, OnSuccess: "mailto:me"}, `"mailto:me" is not a target`},
		{"a wrong failure target", domain.Policy{MaxAge: time.Hour, OnFailure: "function:9"}, `"9" is not a function name`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { check(t, tt.p.Check(), domain.CodeInvalid, tt.words) })
	}
}

// TestPolicyUnset shows what holds for a function without a policy: no retries, an hour of validity.
func TestPolicyUnset(t *testing.T) {
	var none domain.Policy
	if none.Retries() != 0 || none.Age() != time.Hour || none.TargetFor(domain.Succeeded) != "" || none.TargetFor(domain.Failed) != "" {
		t.Errorf("no policy: %d retries, %s, %q, %q", none.Retries(), none.Age(), none.TargetFor(domain.Succeeded), none.TargetFor(domain.Failed))
	}
	p := domain.Policy{Set: true, MaxRetries: 2, MaxAge: time.Minute, OnSuccess: "obs://yes", OnFailure: "obs://noo"}
	if p.Retries() != 2 || p.Age() != time.Minute || p.TargetFor(domain.Succeeded) != "obs://yes" ||
		p.TargetFor(domain.Failed) != "obs://noo" || p.TargetFor(domain.Discarded) != "obs://noo" {
		t.Errorf("a policy is not what it says: %+v", p)
	}
}

func TestLimitsCheck(t *testing.T) {
	with := func(change func(*domain.Limits)) domain.Limits {
		l := domain.DefaultLimits()
		change(&l)
		return l
	}
	const timeout, memory, output = "allowed are 100ms to 15m0s", "allowed are 64KiB to 4GiB", "allowed are 1 byte to 6MiB"
	tests := []struct {
		name  string
		l     domain.Limits
		words string
	}{
		{"defaults", domain.DefaultLimits(), ""},
		{"least", domain.Limits{Timeout: 100 * time.Millisecond, Memory: 64 << 10, MaxOutput: 1}, ""},
		{"most", domain.Limits{Timeout: 15 * time.Minute, Memory: 4 << 30, MaxOutput: 6 << 20}, ""},
		{"nothing", domain.Limits{}, timeout},
		{"timeout below", with(func(l *domain.Limits) { l.Timeout = 100*time.Millisecond - 1 }), timeout},
		{"timeout above", with(func(l *domain.Limits) { l.Timeout = 15*time.Minute + 1 }), timeout},
		{"memory below", with(func(l *domain.Limits) { l.Memory = 64<<10 - 1 }), memory},
		{"memory above", with(func(l *domain.Limits) { l.Memory = 4<<30 + 1 }), memory},
		{"output below", with(func(l *domain.Limits) { l.MaxOutput = 0 }), output},
		{"output above", with(func(l *domain.Limits) { l.MaxOutput = 6<<20 + 1 }), output},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { check(t, tt.l.Check(), domain.CodeInvalid, tt.words) })
	}
}

func TestTargetCheck(t *testing.T) {
	const target, name, bucket, prefix = "is not a target", "is not a function name", "is not a bucket's name", "is not an object prefix"
	tests := []struct {
		target domain.Target
		words  string
	}{
		{"", ""},
		{"function:a", ""},
		{"function:repair-2_b", ""},
		{"obs://abc", ""},
		{"obs://abc/", ""},
		{"obs://my.bucket-1/a/b_c/d=2.x", ""},
		{"obs://" + domain.Target(strings.Repeat("b", 63)) + "/" + domain.Target(strings.Repeat("p", 512)), ""},
		{"function:", name},
		{"function:-a", name},
		{"function:a-", name},
		{"function:" + domain.Target(strings.Repeat("a", 61)), name},
		{"s3://bucket", target},
		{"OBS://bucket", target},
		{"obs:/bucket", target},
		{"bucket", target},
		{"obs://", bucket},
		{"obs://ab", bucket},
		{"obs://Abc", bucket},
		{"obs://-abc", bucket},
		{"obs://abc.", bucket},
		{"obs://a..b", bucket},
		{"obs://" + domain.Target(strings.Repeat("b", 64)), bucket},
		{"obs://abc/a//b", prefix},
		{"obs://abc/..", prefix},
		{"obs://abc/a/./b", prefix},
		{"obs://abc/a b", prefix},
		{"obs://abc/ü", prefix},
		{"obs://abc/a?expires=0", "objects expire"},
		{"obs://abc/a?expires=366", "objects expire"},
		{"obs://abc/a?expires=07", "objects expire"},
		{"obs://abc/a?days=7", "objects expire"},
		{"function:a b:next", "a package's name"},
		{"function:tools:next:", "is not a target"},
		{"function:tools:next:a b", "a version's name"},
		{"function:tools:next:!", "an alias"},
		{"obs://abc/" + domain.Target(strings.Repeat("p", 513)), "the limit is 512"},
		{"dis:orders.eu_1-x", ""},
		{"dis:" + domain.Target(strings.Repeat("s", 249)), ""},
		{"dis:" + domain.Target(strings.Repeat("s", 250)), "is not a stream's name"},
		{"dis:", "is not a stream's name"},
		{"dis:..", "is not a stream's name"},
		{"dis:a/b", "is not a stream's name"},
		{"dis:ü", "is not a stream's name"},
		{"smn:alarms-1_b", ""},
		{"smn:", "is not a topic's name"},
		{"smn:-a", "is not a topic's name"},
		{"smn:a.b", "is not a topic's name"},
		{"smn:" + domain.Target(strings.Repeat("t", 256)), "is not a topic's name"},
	}
	for _, tt := range tests {
		t.Run(string(tt.target), func(t *testing.T) { check(t, tt.target.Check(), domain.CodeInvalid, tt.words) })
	}
}

func TestTargetParts(t *testing.T) {
	from := domain.FunctionID{Region: "r", Project: "p", Package: "shop", Name: "pay"}
	for target, want := range map[domain.Target]string{
		"function:next":             "urn:fss:r:p:function:default:next",
		"function:tools:next":       "urn:fss:r:p:function:tools:next",
		"function:tools:next:v1":    "urn:fss:r:p:function:tools:next:v1",
		"function:default:next:!on": "urn:fss:r:p:function:default:next:!on",
	} {
		to, qualifier, ok := target.Function(from)
		got := to.String()
		if qualifier != "" {
			got = to.Version(qualifier)
		}
		if !ok || got != want || domain.FunctionTarget(to, qualifier) != target {
			t.Errorf("%s: %s, %t, written again %s", target, got, ok, domain.FunctionTarget(to, qualifier))
		}
	}
	if _, _, ok := domain.Target("obs://abc").Function(from); ok {
		t.Error("an object store is taken for a function")
	}
	if b, p, ok := domain.Target("obs://abc/x/y/?expires=30").Object(); b != "abc" || p != "x/y" || !ok {
		t.Errorf("object: %q, %q, %t", b, p, ok)
	}
	if n := domain.Target("obs://abc/x?expires=30").Expires(); n != 30 {
		t.Errorf("expires after %d days", n)
	}
	if _, _, ok := domain.Target("function:next").Object(); ok {
		t.Error("a function is taken for an object store")
	}
}

func TestCheckEnv(t *testing.T) {
	tests := []struct {
		name  string
		env   []domain.EnvVar
		code  domain.Code
		words string
	}{
		{"none", nil, "", ""},
		{"at the limit", []domain.EnvVar{{Name: "A", Value: strings.Repeat("x", domain.MaxEnv-1)}}, "", ""},
		{"over the limit", []domain.EnvVar{{Name: "A", Value: strings.Repeat("x", domain.MaxEnv)}}, domain.CodeTooLarge, "the limit is 4096"},
		{"no name", []domain.EnvVar{{Value: "x"}}, domain.CodeInvalid, "is not a variable's name"},
		{"equals sign", []domain.EnvVar{{Name: "A=B"}}, domain.CodeInvalid, "is not a variable's name"},
		{"zero byte", []domain.EnvVar{{Name: "A", Value: "a\x00"}}, domain.CodeInvalid, "is not a variable's name"},
		{"the platform's", []domain.EnvVar{{Name: "DEED_X"}}, domain.CodeInvalid, "belong to the platform"},
		{"twice", []domain.EnvVar{{Name: "A"}, {Name: "A"}}, domain.CodeInvalid, "is given twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { check(t, domain.CheckEnv(tt.env), tt.code, tt.words) })
	}
}

func TestFunctionURN(t *testing.T) {
	f := domain.NativeFunction("echo")
	if f.String() != "urn:fss:local:default:function:default:echo" {
		t.Errorf("URN: %s", f)
	}
	for urn, version := range map[string]string{f.String(): "", f.Version("7"): "7"} {
		got, v, err := domain.ParseFunctionURN(urn)
		if err != nil || got != f || v != version {
			t.Errorf("%s: %v, %q, %v", urn, got, v, err)
		}
	}
	for _, urn := range []string{"", "echo", "urn:fss:a:b:function:c", "urn:fss:a:b:function:c:d:1:2", "urn:xxx:a:b:function:c:d", "urn:fss:a:b:trigger:c:d"} {
		if _, _, err := domain.ParseFunctionURN(urn); err == nil {
			t.Errorf("%q is taken for a URN", urn)
		}
	}
}

func TestInstant(t *testing.T) {
	i, err := domain.ParseInstant("2026-01-31T13:00:00.123999+01:00")
	if err != nil || i.String() != "2026-01-31T12:00:00.123Z" || string(i.Append(nil)) != i.String() {
		t.Fatalf("%s, %v", i, err)
	}
	if j := i.Add(1500 * time.Millisecond); j.Sub(i) != 1500*time.Millisecond || domain.InstantOf(j.Time()) != j {
		t.Errorf("%s after %s", j, i)
	}
	if _, err := domain.ParseInstant("yesterday"); err == nil {
		t.Error("yesterday is taken for a time")
	}
}
