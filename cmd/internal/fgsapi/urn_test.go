package fgsapi

import (
	"strings"
	"testing"

	"deed/domain"
)

func TestParseRef(t *testing.T) {
	const full = "urn:fss:here:p:function:"
	long := "a" + strings.Repeat("b", 59)
	for _, c := range []struct{ in, want string }{
		{"hello", full + "default:hello:latest"},
		{"pkg:hello", full + "pkg:hello:latest"},
		{"p:pkg:hello", full + "pkg:hello:latest"},
		{"p:pkg:hello:v1", full + "pkg:hello:v1"},
		{"p:pkg:hello:!prod", full + "pkg:hello:!prod"},
		{"urn:fss:here:p:function:pkg:hello", full + "pkg:hello:latest"},
		{"urn:fss:here:p:function:pkg:hello:latest", full + "pkg:hello:latest"},
		{"urn:fss:cn-north-4:p:function:pkg:hello:v20240506-070809", full + "pkg:hello:v20240506-070809"},
		{"urn:fss:eu_west0:p:function:pkg:hello:!a", full + "pkg:hello:!a"},
		{"urn:fss:x:p:function:pkg:hello:!latest", full + "pkg:hello:!latest"},
		{long, full + "default:" + long + ":latest"},
		{"p:default:f:" + strings.Repeat("1", 42), full + "default:f:" + strings.Repeat("1", 42)},
		{"p:default:f:!" + strings.Repeat("1", 63), full + "default:f:!" + strings.Repeat("1", 63)},
		{"statistics", full + "default:statistics:latest"}, // there is none; that is 404
	} {
		r, err := ParseRef(c.in, "p", "here")
		if err != nil || r.String() != c.want {
			t.Errorf("%s: %s %v", c.in, r, err)
		}
		if n := strings.Count(c.in, ":"); r.Qualified != (n == 3 || n == 7) || r.Alias != strings.Contains(c.in, "!") {
			t.Errorf("%s: %+v", c.in, r)
		}
	}
	for _, in := range []string{
		"", ":", ":pkg:f", "::", ":::", "a:", ":a", "9a", "a-", "ä", "a b", "a/b", "../a", "a\x00", "a%3Ab", "p:pkg:f:", "p:pkg:f:!", "p:pkg:f:!!a", "p:pkg:f:-a", "p:pkg:f:a.",
		"p:pkg:f:" + strings.Repeat("1", 43), "p:pkg:f:!" + strings.Repeat("1", 64), long + "c", "p:" + long + "c:f", "a:b:c:d:e", "a:b:c:d:e:f",
		"urn:fss:r:p:function:pkg:", "urn:fss::p:function:pkg:f", "urn:fsx:r:p:function:pkg:f", "URN:fss:r:p:function:pkg:f", "urn:fss:r:p:func:pkg:f",
		"urn:fss:r:p:function:pkg:f:v:", "urn:fss:r:p:function:pkg:f:", "urn:fss:" + strings.Repeat("r", 65) + ":p:function:pkg:f", strings.Repeat("a", 270), "import\n",
	} {
		r, err := ParseRef(in, "p", "here")
		wantFault(t, err, "FSS.1309")
		if r != (Ref{}) || err != nil && !strings.Contains(err.Error(), "urn:fss:REGION:PROJECT:function:PACKAGE:NAME") {
			t.Errorf("%q: %v %v", in, r, err)
		}
	}
	if _, err := ParseRef(long, "p", strings.Repeat("r", 200)); err == nil {
		t.Error("in full it is too long")
	}
}

// TestOtherProject: the words name nobody, and do not depend on what else is asked.
func TestOtherProject(t *testing.T) {
	for _, in := range []string{"secret:pkg:f", "secret:pkg:f:v1", "urn:fss:r:secret:function:pkg:f", "urn:fss:r:secret:function:pkg:f:!a", "P:pkg:f", "secret:?:?"} {
		_, err := ParseRef(in, "p", "here")
		wantFault(t, err, "FSS.0403")
		if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "pkg")) {
			t.Error(err)
		}
	}
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{"hello": true, "a": true, "statistics": false, "import": false, "Import": true, "collect": false, "reservedinstances": false, "": false, "1a": false, "a_": false} {
		if err := CheckName(name); ok && err != nil {
			t.Error(err)
		} else if !ok {
			wantFault(t, err, "FSS.1002")
		}
	}
	for name, ok := range map[string]bool{"default": true, "": false, "a.b": false} {
		if err := CheckPackage(name); ok && err != nil {
			t.Error(err)
		} else if !ok {
			wantFault(t, err, "FSS.1004")
		}
	}
	for name, ok := range map[string]bool{"1": true, "v1.2_3-x": true, "latest": false, "": false, "!a": false, "-": false} {
		if err := CheckVersion(name); ok && err != nil {
			t.Error(err)
		} else if !ok {
			wantFault(t, err, "FSS.1015")
		}
	}
	for name, ok := range map[string]bool{"prod": true, "a.b": true, "!prod": false, "": false} {
		if err := CheckAlias(name); ok && err != nil {
			t.Error(err)
		} else if !ok {
			wantFault(t, err, "FSS.1014")
		}
	}
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"f", "p:f", "p:d:f", "p:d:f:!a", "urn:fss:r:p:function:d:f", "urn:fss:r:p:function:d:f:v1", "::::", "é:!"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRef(s, "p", "here")
		if err != nil {
			if r != (Ref{}) || err.Error() == "" {
				t.Fatal(r, err)
			}
			return
		}
		back, err := ParseRef(r.String(), "p", "here")
		r.Qualified = true // as the full form is
		if err != nil || back != r {
			t.Fatalf("%q: %+v, then %+v %v", s, r, back, err)
		}
		if id, v, err := domain.ParseFunctionURN(r.String()); err != nil || id != r.Function || strings.TrimPrefix(v, "!") != r.Qualifier {
			t.Fatal(id, v, err)
		}
	})
}
