package blob

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"deed/integration/s3test"
)

// TestWrongURLs are refused with what is right, before anything is asked, and no secret is repeated.
func TestWrongURLs(t *testing.T) {
	for address, says := range map[string]string{
		"":                                   "s3://bucket",
		"/dir":                               "file:///dir",
		"http://host/bucket":                 "s3://bucket",
		"file://host/dir":                    "file:///absolute/directory",
		"file:///dir?endpoint=x":             "file:///absolute/directory",
		"s3://":                              "s3://bucket",
		"s3://b/some/where":                  "prefix=some%2Fwhere",
		"s3://b?colour=red":                  `"colour"; there are endpoint, region`,
		"s3://b?endpoint=127.0.0.1:9000":     "http://host:port",
		"s3://b?endpoint=http://u:p@host":    "http://host:port",
		"s3://b?use_path_style=perhaps":      "true or false",
		"s3://b?prefix=/a":                   "empty segment",
		"s3://b?prefix=a/../b":               "..",
		"s3://AKIA:topsecret@b?region=there": "AWS_SECRET_ACCESS_KEY",
	} {
		_, err := Open(t.Context(), address)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%s: %v, want %s", address, err, says)
		}
	}
}

// TestS3Errors: who operates the store is told whether the network, the credentials or the bucket is wrong.
func TestS3Errors(t *testing.T) {
	s := s3test.Start(t, "one")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	says := func(address string, words ...string) {
		t.Helper()
		_, err := Open(t.Context(), address)
		for _, w := range words {
			if err == nil || !strings.Contains(err.Error(), w) || strings.Contains(err.Error(), s3test.SecretKey) {
				t.Errorf("%s: %v, want %s", address, err, w)
			}
		}
	}
	says(s.URL("nowhere"), "there is no bucket nowhere at http://", "NoSuchBucket")
	says("s3://one?use_path_style=true&endpoint=http://"+closed, "http://"+closed+" cannot be reached", "connection refused")
	says("s3://one?region=x&use_path_style=true&endpoint=http://no.such.host.invalid:1", "cannot be reached", "no.such.host.invalid")
	says("s3://one", "no region is given")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "another")
	says(s.URL("one"), "denied", "AWS_ACCESS_KEY_ID", "SignatureDoesNotMatch")
	for status, code := range map[int]string{403: "InvalidAccessKeyId", 400: "ExpiredToken", 401: ""} {
		refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			if code != "" {
				_, _ = w.Write([]byte("<Error><Code>" + code + "</Code></Error>"))
			}
		}))
		says("s3://one?use_path_style=true&endpoint="+refuses.URL, "denied", "AWS_ACCESS_KEY_ID", code)
		refuses.Close()
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	says(s.URL("one"), "are there credentials in AWS_ACCESS_KEY_ID")
}

// TestS3GoesAndComes: while the server is away every operation says so, none takes its absence for an object's; afterwards
// the same store works again.
func TestS3GoesAndComes(t *testing.T) {
	server := s3test.Start(t, "one")
	s := openStore(t, server.URL("one"))
	d, err := s.Put(t.Context(), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	server.Stop()
	away := func(err error) {
		t.Helper()
		if err == nil || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "cannot be reached") {
			t.Error(err)
		}
	}
	_, err = s.Put(t.Context(), []byte("y"))
	away(err)
	_, err = s.Get(t.Context(), d)
	away(err)
	_, err = s.Has(t.Context(), d)
	away(err)
	away(s.Belong(t.Context(), "c"))

	server.Restart()
	if got, err := s.Get(t.Context(), d); err != nil || string(got) != "x" {
		t.Fatal(got, err)
	}

	// A bucket that is gone is not a missing object, either.
	if err := os.Rename(filepath.Join(server.Dir, "one"), filepath.Join(server.Dir, "moved")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), d); err == nil || errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := s.Belong(t.Context(), "c"); err == nil || !strings.Contains(err.Error(), "there is no bucket one") {
		t.Error(err)
	}
}

// TestOverwritingServer: a server that does not know conditional writes is refused when the store is opened.
func TestOverwritingServer(t *testing.T) {
	for k, v := range s3test.Environment() {
		t.Setenv(k, v)
	}
	careless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		w.WriteHeader(http.StatusOK)
	}))
	defer careless.Close()
	if _, err := Open(t.Context(), "s3://one?use_path_style=true&endpoint="+careless.URL); err == nil || !strings.Contains(err.Error(), "If-None-Match") {
		t.Error(err)
	}
}

// TestLostAnswer: a write whose first answer was lost is made again, and finds its own object there: not created, and no
// error. A write that meets another one of the same key is made again, too.
func TestLostAnswer(t *testing.T) {
	for k, v := range s3test.Environment() {
		t.Setenv(k, v)
	}
	answers := []int{http.StatusInternalServerError, http.StatusConflict, http.StatusPreconditionFailed}
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != "*" {
			t.Errorf("an unconditional %s", r.Method)
		}
		status := answers[asked]
		asked++
		w.WriteHeader(status)
		code := map[int]string{500: "InternalError", 409: "ConditionalRequestConflict", 412: "PreconditionFailed"}[status]
		_, _ = w.Write([]byte("<Error><Code>" + code + "</Code></Error>"))
	}))
	defer server.Close()
	p, err := openS3(t.Context(), s3Options{bucket: "one", endpoint: server.URL, pathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	created, err := (&Bucket{p}).WriteIfAbsent(t.Context(), "k", []byte("x"))
	if err != nil || created || asked != len(answers) {
		t.Errorf("created %v after %d requests: %v", created, asked, err)
	}
}

// TestSilentServer: an operation on a server that takes connections and says nothing ends with the caller's patience.
func TestSilentServer(t *testing.T) {
	for k, v := range s3test.Environment() {
		t.Setenv(k, v)
	}
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		cancel() // it is waited for; now the caller goes
		<-over
	}))
	defer silent.Close()
	defer close(over)
	if _, err := Open(ctx, "s3://one?use_path_style=true&endpoint="+silent.URL); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
