package fgsapi

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// pattern is an operation's path, taken apart: a segment in braces stands for any one.
type pattern struct {
	segments []string
	op       Operation
}

// router finds the operation of a path. It never cleans a path and never redirects: a client that posts an event and follows
// no redirect would take the answer for success, and the event would be lost.
type router struct{ patterns []pattern }

func newRouter(ops []Operation) *router {
	rt := &router{}
	for _, op := range ops {
		rt.patterns = append(rt.patterns, pattern{strings.Split(op.Path, "/"), op})
	}
	return rt
}

// find is the operation, and what stands in the braces of its path. The error is a *Fault.
func (rt *router) find(r *http.Request) (Operation, map[string]string, error) {
	segments := strings.Split(r.URL.EscapedPath(), "/")
	for i, s := range segments {
		plain, err := url.PathUnescape(s)
		if err != nil || strings.Contains(plain, "/") || plain == "." || plain == ".." || plain == "" && i > 0 {
			return Operation{}, nil, fault("FSS.1309", fmt.Sprintf("the path %q is not one of this API: a segment is empty, or a dot, or has a slash", short(r.URL.EscapedPath(), 120)))
		}
		segments[i] = plain
	}
	best, literal, methods := -1, -1, false
	for i, p := range rt.patterns {
		n, ok := p.fits(segments)
		if !ok {
			continue
		}
		methods = true
		if p.op.Method == r.Method && n > literal { // a literal segment goes before one in braces
			best, literal = i, n
		}
	}
	if best < 0 {
		words := fmt.Sprintf("there is no %s %s", r.Method, short(r.URL.Path, 160))
		if methods {
			words += ": the path takes other methods"
		}
		return Operation{}, nil, fault("FSS.0404", words)
	}
	p := rt.patterns[best]
	values := map[string]string{}
	for i, s := range p.segments {
		if name, ok := inBraces(s); ok {
			values[name] = segments[i]
		}
	}
	return p.op, values, nil
}

// fits reports whether the pattern fits, and in how many literal segments.
func (p pattern) fits(segments []string) (literal int, ok bool) {
	if len(segments) != len(p.segments) {
		return 0, false
	}
	for i, s := range p.segments {
		if _, open := inBraces(s); open {
			continue
		}
		if s != segments[i] {
			return 0, false
		}
		literal++
	}
	return literal, true
}

func inBraces(s string) (name string, ok bool) {
	if !strings.HasPrefix(s, "{") {
		return "", false
	}
	return strings.Trim(s, "{}"), true
}
