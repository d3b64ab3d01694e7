package fgs

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// dialRaw is a connection of its own.
func (n *node) dialRaw(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", n.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// wellFormed wants an answer that every client can read: an id, no redirection, and an error as JSON.
func wellFormed(t testing.TB, what string, r *http.Response, body string) {
	t.Helper()
	if !uuid.MatchString(r.Header.Get("X-Request-Id")) {
		t.Errorf("%s: %d with X-Request-Id %q", what, r.StatusCode, r.Header.Get("X-Request-Id"))
	}
	if r.StatusCode >= 300 && r.StatusCode < 400 {
		t.Errorf("%s: %d leads to %s", what, r.StatusCode, r.Header.Get("Location"))
	}
	if r.StatusCode < 400 {
		return
	}
	var e struct {
		Code  string `json:"error_code"`
		Words string `json:"error_msg"`
	}
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Code == "" || e.Words == "" || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: %d %s %q", what, r.StatusCode, r.Header.Get("Content-Type"), body)
	}
}

// TestFuzzedPaths: whatever the path, an answer is one that the clients understand, and no redirection, which they would
// take for success.
func TestFuzzedPaths(t *testing.T) {
	s, c := of(t)
	urn := c.create(t, nameOf(t, "f"), tiny("x"))
	const seed = 20240506
	chance := rand.New(rand.NewPCG(seed, 1))
	words := []string{
		"v2", "p1", "fgs", "functions", urn, "config", "invocations", "invocations-async", "aliases", "tags", "create", "..", ".", "", "%2F", "%2e%2e", "%00", "%", "%zz", "!x", "%21x", "a b", "a%20b",
		"ü", "%FF", "async-invocations", "quotas", "statistics", "urn:fss", ":", strings.Repeat("x", 300), "{project_id}", ";", "a;b", "\\", "import", "enable-lts-logs",
	}
	methods := []string{"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"}
	paths := []string{
		"/v2/", "/v2//", "/v2/p1//fgs/functions", "/v2/p1/fgs/functions/", "/v2/../v2/p1/fgs/functions", "/v2/p1/fgs/functions/" + urn + "//invocations-async",
		"/v2/p1/fgs/functions/" + urn + "/../x/invocations-async", "/v2/p1/fgs/functions//invocations-async", "//v2/p1/fgs/functions",
	}
	for range 500 {
		n := 1 + chance.IntN(8)
		path := []string{"/v2", "p1", "fgs", "functions"}[:1+chance.IntN(4)]
		for range n {
			path = append(path, words[chance.IntN(len(words))])
		}
		paths = append(paths, strings.Join(path, "/"))
	}
	conn, reader := net.Conn(nil), (*bufio.Reader)(nil)
	for _, path := range paths {
		for _, method := range []string{"POST", methods[chance.IntN(len(methods))]} {
			if conn == nil {
				conn = s.dialRaw(t)
				reader = bufio.NewReader(conn)
			}
			_ = conn.SetDeadline(time.Now().Add(patience))
			target := strings.ReplaceAll(path, " ", "%20")
			_, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nX-Auth-Token: %s\r\nContent-Length: 2\r\n\r\n{}", method, target, s.addr, s.p1.token())
			var r *http.Response
			if err == nil {
				r, err = http.ReadResponse(reader, &http.Request{Method: method})
			}
			if err != nil {
				t.Fatalf("%s %s: %v", method, path, err)
			}
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatalf("%s %s: %v", method, path, err)
			}
			closed := r.Close
			malformed := r.StatusCode == 400 && closed && strings.HasPrefix(string(b), "400 Bad Request") // no path at all: refused before any handler
			native := !strings.HasPrefix(strings.TrimLeft(target, "/"), "v2/")
			if method != "HEAD" && !malformed && !native {
				wellFormed(t, method+" "+path, r, string(b))
			}
			if native && r.StatusCode >= 300 && r.StatusCode < 400 {
				t.Errorf("%s %s: %d leads to %s", method, path, r.StatusCode, r.Header.Get("Location"))
			}
			if malformed && !strings.Contains(path, "%") && !strings.Contains(path, "\\") {
				t.Errorf("%s %s is malformed to the server: %s", method, path, b)
			}
			if closed {
				_ = conn.Close()
				conn = nil
			}
		}
	}
}

// TestLargeBodies: a body over the limit is refused with 413 and JSON, whether its length is said or not.
func TestLargeBodies(t *testing.T) {
	s, c := of(t)
	urn := c.create(t, nameOf(t, "f"), tiny("x"))
	u := "/v2/p1/fgs/functions/" + urn
	for _, a := range []struct {
		method, path string
		limit        int
	}{
		{"POST", u + "/invocations-async", 256 << 10},
		{"POST", u + "/invocations", 6 << 20},
		{"PUT", u + "/config", 256 << 10},
		{"PUT", u + "/async-invoke-config", 256 << 10},
		{"POST", "/v2/p1/fgs/functions", 70 << 20},
		{"GET", u + "/config", 256 << 10},
	} {
		// The length is said: it is refused before a byte of the body is sent.
		conn := s.dialRaw(t)
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nX-Auth-Token: %s\r\nContent-Length: %d\r\n\r\n", a.method, a.path, s.addr, s.p1.token(), a.limit+1); err != nil {
			t.Fatal(err)
		}
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s %s: %v", a.method, a.path, err)
		}
		b, _ := io.ReadAll(r.Body)
		wellFormed(t, a.path, r, string(b))
		if r.StatusCode != 413 || !strings.Contains(string(b), "FSS.1201") || !strings.Contains(string(b), fmt.Sprint(a.limit)) {
			t.Errorf("%s %s: %d %s", a.method, a.path, r.StatusCode, b)
		}
		if a.limit > 10<<20 {
			continue
		}
		// It is not said.
		conn = s.dialRaw(t)
		_ = conn.SetDeadline(time.Now().Add(patience))
		go func() {
			_, _ = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nX-Auth-Token: %s\r\nTransfer-Encoding: chunked\r\n\r\n", a.method, a.path, s.addr, s.p1.token())
			part := strings.Repeat("x", 64<<10)
			for sent := 0; sent <= a.limit; sent += len(part) {
				if _, err := fmt.Fprintf(conn, "%x\r\n%s\r\n", len(part), part); err != nil {
					return
				}
			}
		}()
		if r, err = http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
			t.Fatalf("%s %s in chunks: %v", a.method, a.path, err)
		}
		b, _ = io.ReadAll(r.Body)
		wellFormed(t, a.path, r, string(b))
		if r.StatusCode != 413 || !strings.Contains(string(b), "FSS.1201") {
			t.Errorf("%s %s in chunks: %d %s", a.method, a.path, r.StatusCode, b)
		}
	}
}

// TestSlowBodies: clients that send their bodies drop by drop, small ones and large ones, do not keep others waiting.
func TestSlowBodies(t *testing.T) {
	s, c := of(t)
	urn := c.create(t, nameOf(t, "f"), tiny("x"))
	stop := make(chan struct{})
	var drips sync.WaitGroup
	defer drips.Wait()
	defer close(stop)
	for i := range 64 {
		path, length := "/v2/p1/fgs/functions/"+urn+"/invocations-async", 100_000
		if i%2 == 0 {
			path, length = "/v2/p1/fgs/functions", 40<<20
		}
		conn := s.dialRaw(t)
		if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nX-Auth-Token: %s\r\nContent-Length: %d\r\n\r\n{", path, s.addr, s.p1.token(), length); err != nil {
			t.Fatal(err)
		}
		drips.Go(func() {
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
					if _, err := io.WriteString(conn, " "); err != nil {
						return
					}
				}
			}
		})
	}
	for range 5 {
		c.reach(t, urn, c.invoke(t, urn, object{"a": strings.Repeat("x", 1000)}), "SUCCESS")
	}
	if status, b := s.native(t, key{}, "GET", "/healthz", ""); status != 200 {
		t.Errorf("%d %s", status, b)
	}
	if r, b := s.raw(t, s.p1, "POST", "/v2/p1/fgs/functions/"+urn+"/invocations", strings.Repeat("x", 2<<20)); r.StatusCode != 200 {
		t.Errorf("a large one: %d %s", r.StatusCode, b)
	}
}

// resident is the memory that the node holds, in bytes.
func (n *node) resident(t testing.TB) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		t.Skip("there is no /proc here: ", err)
	}
	for line := range strings.Lines(string(b)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	return 0
}

// TestManyConnections: ten thousand connections that do nothing cost little memory, and others are answered.
func TestManyConnections(t *testing.T) {
	if testing.Short() {
		t.Skip("it opens thousands of connections")
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < limit.Max {
		limit.Cur = limit.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) // the node has it from us
		_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	}
	n := start(t)
	most := min(10_000, int(limit.Cur)-500)
	if most < 10_000 {
		t.Logf("the limit of open files is %d: %d connections instead of 10000", limit.Cur, most)
	}
	health := func() {
		t.Helper()
		if status, b := n.native(t, key{}, "GET", "/healthz", ""); status != 200 {
			t.Fatalf("%d %s", status, b)
		}
	}
	health()
	before := n.resident(t)
	conns := make([]net.Conn, 0, most)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for i := range most {
		conn, err := net.Dial("tcp", n.addr)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		conns = append(conns, conn)
		// One request each, so that the server has taken it; after that it does nothing.
		_, err = fmt.Fprintf(conn, "GET /v2/p1/fgs/functions HTTP/1.1\r\nHost: %s\r\n\r\n", n.addr)
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		one := make([]byte, 12)
		if err == nil {
			_, err = io.ReadFull(conn, one)
		}
		if err != nil || string(one) != "HTTP/1.1 200" {
			t.Fatalf("connection %d: %q %v", i, one, err)
		}
	}
	var took []time.Duration
	for range 200 {
		begin := time.Now()
		health()
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	grown := n.resident(t) - before
	t.Logf("%d idle connections: a health call takes %s (median), %s (99th of 100); %d MiB of memory more than %d", most, took[100], took[198], grown>>20, before>>20)
	if grown > 400<<20 {
		t.Errorf("the node grew by %d MiB", grown>>20)
	}
	urn := n.dial(t, key{}, "p1")
	urn.reach(t, "f", urn.invoke(t, urn.create(t, "f", tiny("x")), nil), "SUCCESS")
}

// TestHalfRequests: connections that break off in the middle leave nothing behind that matters.
func TestHalfRequests(t *testing.T) {
	s, c := of(t)
	urn := c.create(t, nameOf(t, "f"), tiny("x"))
	for _, half := range []string{"", "POST", "POST /v2/p1/fgs/functions HTTP/1.1\r\nHost: x\r\n", "\x16\x03\x01\x02\x00", "POST /v2/p1/fgs/functions/" + urn + "/invocations-async HTTP/1.1\r\nHost: " + s.addr +
		"\r\nX-Auth-Token: " + s.p1.token() + "\r\nContent-Length: 50\r\n\r\n{\"a\":"} {
		conn := s.dialRaw(t)
		if _, err := io.WriteString(conn, half); err != nil {
			t.Fatal(err)
		}
		tcp, ok := conn.(*net.TCPConn)
		if !ok {
			t.Fatal("no TCP")
		}
		if err := tcp.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		if b, err := io.ReadAll(conn); err != nil && !errors.Is(err, syscall.ECONNRESET) || strings.Contains(string(b), " 202 ") {
			t.Errorf("%q: %q %v", half, b, err)
		}
	}
	_, l := s.native(t, s.p1, "GET", "/v2/p1/fgs/functions/"+urn+"/async-invocations", "")
	if !strings.Contains(l, `"count":0`) {
		t.Errorf("half an event was invoked: %s", l)
	}
}
