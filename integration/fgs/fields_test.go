package fgs

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdktime"
)

// object is an answer of the SDK as a map from the names on the wire, of what was in the answer only.
type object = map[string]any

// list is its list.
type list = []any

// like is what a field has to be like, where it cannot be told in advance.
type like func(v any) error

// plain makes an answer of the SDK's types plain: strings, int64, float64, bool, time.Time, lists and objects. A pointer
// that is nil was not in the answer, and is not in the object.
func plain(v reflect.Value) (any, bool) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil, false
		}
		return plain(v.Elem())
	case reflect.Int, reflect.Int32, reflect.Int64:
		return v.Int(), true
	case reflect.Float32, reflect.Float64:
		return v.Float(), true
	case reflect.Slice:
		out := list{}
		for i := range v.Len() {
			e, _ := plain(v.Index(i))
			out = append(out, e)
		}
		return out, true
	case reflect.Map:
		if v.IsNil() {
			return nil, false
		}
		out := object{}
		for _, k := range v.MapKeys() {
			out[k.String()], _ = plain(v.MapIndex(k))
		}
		return out, true
	case reflect.Struct:
		if at, ok := v.Interface().(sdktime.SdkTime); ok {
			return time.Time(at), true
		}
		if m := v.MethodByName("Value"); m.IsValid() { // an enumeration
			word := m.Call(nil)[0].String()
			return word, word != ""
		}
		out := object{}
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			if name == "" || name == "-" {
				continue
			}
			if e, ok := plain(v.Field(i)); ok {
				out[name] = e
			}
		}
		return out, true
	default:
		return v.Interface(), true
	}
}

// same holds an answer against what it is to be: every field that is in one is in the other.
func same(t testing.TB, what string, answer any, want object) object {
	t.Helper()
	got, _ := plain(reflect.ValueOf(answer))
	for _, d := range differences("", got, want) {
		t.Errorf("%s: %s", what, d)
	}
	o, _ := got.(object)
	return o
}

func differences(path string, got, want any) (out []string) {
	switch w := want.(type) {
	case like:
		if err := w(got); err != nil {
			out = append(out, fmt.Sprintf("%s is %#v: %v", path, got, err))
		}
	case object:
		g, ok := got.(object)
		if !ok {
			return []string{fmt.Sprintf("%s is %#v, want %#v", path, got, want)}
		}
		names := maps.Clone(w)
		maps.Copy(names, g)
		for _, name := range slices.Sorted(maps.Keys(names)) {
			gv, in := g[name]
			wv, wanted := w[name]
			switch {
			case !in:
				out = append(out, fmt.Sprintf("%s.%s is not there, want %#v", path, name, wv))
			case !wanted:
				out = append(out, fmt.Sprintf("%s.%s is %#v, and should not be there", path, name, gv))
			default:
				out = append(out, differences(path+"."+name, gv, wv)...)
			}
		}
	case list:
		g, ok := got.(list)
		if !ok || len(g) != len(w) {
			return []string{fmt.Sprintf("%s is %#v, want %#v", path, got, want)}
		}
		for i := range w {
			out = append(out, differences(fmt.Sprintf("%s[%d]", path, i), g[i], w[i])...)
		}
	case int:
		if got != int64(w) {
			out = append(out, fmt.Sprintf("%s is %#v, want %d", path, got, w))
		}
	default:
		if !reflect.DeepEqual(got, want) {
			out = append(out, fmt.Sprintf("%s is %#v, want %#v", path, got, want))
		}
	}
	return out
}

// with is a copy of an object with other members.
func with(o object, more object) object {
	out := maps.Clone(o)
	maps.Copy(out, more)
	return out
}

// recent is a time within the last minutes.
var recent like = func(v any) error {
	at, ok := v.(time.Time)
	if s, isText := v.(string); isText {
		var err error
		if at, err = time.Parse("2006-01-02T15:04:05Z", s); err != nil {
			return err
		}
		ok = true
	}
	if d := time.Since(at); !ok || d < -time.Second || d > 10*time.Minute {
		return errors.New("want a time of this test's")
	}
	if at.Nanosecond() != 0 {
		return errors.New("want whole seconds")
	}
	return nil
}

// recentRecord is the end of an invocation: a text without a suffix.
var recentRecord like = func(v any) error {
	s, _ := v.(string)
	at, err := time.Parse("2006-01-02T15:04:05", s)
	if err != nil {
		return err
	}
	return recent(at)
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[1-9a-f][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$`)

func matching(re string) like {
	compiled := regexp.MustCompile(re)
	return func(v any) error {
		if s, ok := v.(string); !ok || !compiled.MatchString(s) {
			return fmt.Errorf("want %s", re)
		}
		return nil
	}
}

// requestID is an id in the form of a UUID.
var requestID like = func(v any) error {
	if s, ok := v.(string); !ok || !uuid.MatchString(s) {
		return errors.New("want a UUID")
	}
	return nil
}

// refused wants an error of the service as the SDK decodes it, with the id of the answer.
func (c *client) refused(t testing.TB, what string, err error, status int, code, words string) {
	t.Helper()
	var e *sdkerr.ServiceResponseError
	if !errors.As(err, &e) {
		t.Errorf("%s: %v, want %d %s", what, err, status, code)
		return
	}
	if e.StatusCode != status || e.ErrorCode != code || !strings.Contains(e.ErrorMessage, words) || e.ErrorMessage == "" {
		t.Errorf("%s: %d %s %q, want %d %s with %q", what, e.StatusCode, e.ErrorCode, e.ErrorMessage, status, code, words)
	}
	if last := c.last(); e.RequestId == "" || e.RequestId != last.Header.Get("X-Request-Id") || !uuid.MatchString(e.RequestId) {
		t.Errorf("%s: request id %q, of the answer %q", what, e.RequestId, last.Header.Get("X-Request-Id"))
	}
}
