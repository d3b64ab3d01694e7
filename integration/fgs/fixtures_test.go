package fgs

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestFixtures sends what other clients of the service write, byte for byte, over connections of its own.
//
// A file in testdata is a client's story. Its exchanges begin with a line ### and what they are for; then comes the request,
// and after a line that begins with --- what is expected: a status, and the answer's JSON, of which other members may be
// there, and "*" is anything. Without a JSON the answer is empty; * is any answer at all. A GET is made again until the
// answer is as expected, for what it asks for may take a while.
//
// In braces stand what is known only when it is sent: the node's address, its key, the date, the body's length and the
// signature, for which the header lists what is signed; code, which is a module; and the texts of earlier answers.
func TestFixtures(t *testing.T) {
	files, err := filepath.Glob("testdata/*.http")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".http"), func(t *testing.T) {
			s := keyed(t)
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			known := map[string]string{
				"host": s.addr, "ak": s.p1.Access, "token": s.p1.token(), "code": base64Of(tiny("fixture")), "more_code": base64Of(tiny("more")),
				"zip": base64Of(zipped(t, "bootstrap.wasm", tiny("zip"))), "function": "fixture-" + strings.TrimSuffix(filepath.Base(file), ".http"),
				"now": time.Now().UTC().Add(time.Minute).Format("2006-01-02T15:04:05"), "earlier": time.Now().UTC().Add(-10 * time.Minute).Format("2006-01-02T15:04:05"),
			}
			_, story, _ := strings.Cut("\n"+string(b), "\n### ")
			for exchange := range strings.SplitSeq(story, "\n### ") {
				what, rest, _ := strings.Cut(exchange, "\n")
				request, expected, found := strings.Cut(rest, "\n--- ")
				if !found {
					t.Fatalf("%s: nothing is expected", what)
				}
				s.exchange(t, what, request, expected, known)
				if t.Failed() {
					return
				}
			}
		})
	}
}

var variable = regexp.MustCompile(`\{\{(\w+)\}\}`)

func fill(t testing.TB, s string, known map[string]string) string {
	t.Helper()
	return variable.ReplaceAllStringFunc(s, func(v string) string {
		name := strings.Trim(v, "{}")
		value, ok := known[name]
		if !ok {
			if name == "length" || name == "signature" {
				return v
			}
			t.Fatalf("nothing is known of %s", v)
		}
		return value
	})
}

func (s stage) exchange(t *testing.T, what, request, expected string, known map[string]string) {
	t.Helper()
	head, want, _ := strings.Cut(strings.TrimRight(fill(t, expected, known), "\n"), "\n")
	var last string
	deadline := time.Now().Add(patience)
	for {
		known["date"] = time.Now().UTC().Format("20060102T150405Z")
		resp, body := s.send(t, fill(t, request, known))
		last = fmt.Sprintf("%d %s", resp.StatusCode, body)
		problems := answers(resp, body, head, want)
		if len(problems) == 0 {
			remember(known, body)
			return
		}
		if !strings.HasPrefix(request, "GET ") || time.Now().After(deadline) {
			t.Errorf("%s: %s\n%s", what, last, strings.Join(problems, "\n"))
			return
		}
		<-time.After(20 * time.Millisecond)
	}
}

// answers is what is wrong with an answer.
func answers(resp *http.Response, body []byte, head, want string) (out []string) {
	if status := strconv.Itoa(resp.StatusCode); status != strings.Fields(head)[0] {
		out = append(out, "status "+status+", want "+head)
	}
	if !uuid.MatchString(resp.Header.Get("X-Request-Id")) {
		out = append(out, "X-Request-Id "+resp.Header.Get("X-Request-Id"))
	}
	switch {
	case strings.HasSuffix(head, "*"):
	case want == "":
		if len(body) > 0 {
			out = append(out, "the answer is not empty")
		}
	default:
		var got, wanted any
		if err := json.Unmarshal([]byte(want), &wanted); err != nil {
			return append(out, "the fixture: "+err.Error())
		}
		if err := json.Unmarshal(body, &got); err != nil {
			return append(out, err.Error())
		}
		out = append(out, within("", got, wanted)...)
	}
	return out
}

// within wants to find a JSON value in another.
func within(path string, got, want any) (out []string) {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s is %v", path, got)}
		}
		for name, v := range w {
			member, in := g[name]
			if v == "-" && in || v != "-" && !in {
				out = append(out, fmt.Sprintf("%s.%s: there is %v", path, name, member))
			} else if in {
				out = append(out, within(path+"."+name, member, v)...)
			}
		}
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return []string{fmt.Sprintf("%s is %v, want %v", path, got, want)}
		}
		for i := range w {
			out = append(out, within(fmt.Sprintf("%s[%d]", path, i), g[i], w[i])...)
		}
	default:
		if want != "*" && got != want {
			out = append(out, fmt.Sprintf("%s is %v, want %v", path, got, want))
		}
	}
	return out
}

// remember keeps the texts of an answer.
func remember(known map[string]string, body []byte) {
	var o map[string]any
	if json.Unmarshal(body, &o) != nil {
		return
	}
	for name, v := range o {
		if text, ok := v.(string); ok {
			known[name] = text
		}
	}
}

// send writes a request to a new connection and reads the answer.
func (s stage) send(t *testing.T, request string) (*http.Response, []byte) {
	t.Helper()
	head, body, _ := strings.Cut(request, "\n\n")
	lines := strings.Split(head, "\n")
	wire := body
	for i, line := range lines {
		lines[i] = strings.ReplaceAll(line, "{{length}}", strconv.Itoa(len(body)))
		if strings.EqualFold(line, "Transfer-Encoding: chunked") {
			wire = chunked(body)
		}
	}
	for i, line := range lines {
		if strings.Contains(line, "{{signature}}") {
			lines[i] = strings.ReplaceAll(line, "{{signature}}", sign(t, lines, body, s.p1.Secret))
		}
	}
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"+wire); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, bytes.TrimSuffix(b, []byte("\n"))
}

// chunked is the body in chunks, as Java's client sends one whose length it does not know.
func chunked(body string) string {
	var b strings.Builder
	for part := range slices.Chunk([]byte(body), 7) {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(part), part)
	}
	return b.String() + "0\r\n\r\n"
}

// sign is the signature of a request, of whose Authorization header it knows what is signed. It is written after the
// description of the algorithm that Huawei publishes, and not after the code that verifies it.
func sign(t *testing.T, lines []string, body, secret string) string {
	t.Helper()
	first := strings.Fields(lines[0])
	headers := map[string][]string{}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		headers[strings.ToLower(name)] = append(headers[strings.ToLower(name)], strings.TrimSpace(value))
	}
	_, list, _ := strings.Cut(headers["authorization"][0], "SignedHeaders=")
	list, _, _ = strings.Cut(list, ",")

	path, query, _ := strings.Cut(first[1], "?")
	decoded, err := url.PathUnescape(path)
	if err != nil {
		t.Fatal(err)
	}
	var segments []string
	for s := range strings.SplitSeq(decoded, "/") {
		segments = append(segments, escape(s))
	}
	canonical := first[0] + "\n" + strings.Join(segments, "/")
	if !strings.HasSuffix(canonical, "/") {
		canonical += "/"
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for name, vs := range values {
		for _, v := range vs {
			pairs = append(pairs, escape(name)+"="+escape(v))
		}
	}
	slices.Sort(pairs)
	canonical += "\n" + strings.Join(pairs, "&") + "\n"
	for name := range strings.SplitSeq(list, ";") {
		for _, v := range slices.Sorted(slices.Values(headers[name])) {
			canonical += name + ":" + v + "\n"
		}
	}
	payload := sha256.Sum256([]byte(body))
	canonical += "\n" + list + "\n" + hex.EncodeToString(payload[:])
	sum := sha256.Sum256([]byte(canonical))
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(mac, "SDK-HMAC-SHA256\n"+headers["x-sdk-date"][0]+"\n"+hex.EncodeToString(sum[:]))
	return hex.EncodeToString(mac.Sum(nil))
}

func escape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
