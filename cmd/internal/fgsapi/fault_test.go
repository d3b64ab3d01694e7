package fgsapi

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"deed/domain"
)

// wantFault fails unless err is a Fault with the code, a status and words.
func wantFault(t *testing.T, err error, code string) {
	t.Helper()
	var f *Fault
	if !errors.As(err, &f) || f.Code != code || f.Words == "" || f.Status != published[code].status {
		t.Errorf("want %s, got %#v", code, err)
	}
}

func TestFaultJSON(t *testing.T) {
	for _, c := range []struct {
		f    *Fault
		want string
	}{
		{fault("FSS.1051", ""), `{"error_code":"FSS.1051","error_msg":"Not found the function"}`},
		{fault("FSS.1001", "limit: no"), `{"error_code":"FSS.1001","error_msg":"limit: no"}`},
		{&Fault{}, `{"error_code":"FSS.0500","error_msg":"internal error"}`},
		{&Fault{Code: "FSS.9999"}, `{"error_code":"FSS.9999","error_msg":"internal error"}`},
		{because("FSS.1009", domain.Reject(domain.CodeInvalid, "no", "do so")), `{"error_code":"FSS.1009","error_msg":"no: do so"}`},
		{because("FSS.1009", errors.New("no")), `{"error_code":"FSS.1009","error_msg":"no"}`},
	} {
		if b, err := json.Marshal(c.f); err != nil || string(b) != c.want {
			t.Errorf("%s %v, want %s", b, err, c.want)
		}
	}
	if f := fault("FSS.9999", ""); f.Status != 500 {
		t.Error(f.Status)
	}
}

// TestCodesArePublished reads this package: a code that is not in the table would be answered with 500.
func TestCodesArePublished(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range regexp.MustCompile(`"FSS\.[^"]*"`).FindAllString(string(b), -1) {
			found++
			if _, ok := published[strings.Trim(code, `"`)]; !ok {
				t.Errorf("%s: %s is not in the table", name, code)
			}
		}
	}
	if found < len(published) {
		t.Errorf("found %d codes", found)
	}
	for code, p := range published {
		if p.status < 400 || p.status > 599 || p.words == "" || !regexp.MustCompile(`^FSS\.\d{4}$`).MatchString(code) {
			t.Errorf("%s: %d %q", code, p.status, p.words)
		}
	}
}
