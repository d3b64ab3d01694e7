package eventstore

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"time"

	"deed/domain"
)

// Decode reads a message. It is total: bytes that are not a record of ours come back with a nil Event, the type that the
// headers claim, and a Problem; an event of a newer version with a nil Event and no Problem.
func Decode(m Message) domain.Record { return decode(m, false) }

// DecodeLean is Decode without payloads and logs: what the fold needs. Payloads are stepped over, not copied; of a
// stored one digest and size are there.
func DecodeLean(m Message) domain.Record { return decode(m, true) }

func decode(m Message, lean bool) domain.Record {
	var r domain.Record
	var logTime domain.Instant
	var subject, contentType, spec string
	var err error
	note := func(what string, e error) {
		if e != nil && err == nil {
			err = fmt.Errorf("header %s: %w", what, e)
		}
	}
	for _, h := range m.Headers {
		var e error
		switch h.Key {
		case headerSpecVersion:
			spec = h.Value
		case headerID:
			r.ID, e = domain.ParseUUID(h.Value)
		case headerType:
			r.Type = eventName(h.Value)
		case headerSubject:
			subject = h.Value
		case headerTime:
			r.At, e = parseTime(h.Value)
		case headerCausation:
			r.Causation, e = domain.ParseUUID(h.Value)
		case headerCorrelation:
			r.Correlation, e = domain.ParseInvocationID(h.Value)
		case headerOwnerEpoch:
			r.Stamp.Epoch, e = strconv.ParseUint(h.Value, 10, 64)
		case headerOwnerID:
			var u domain.UUID
			u, e = domain.ParseUUID(h.Value)
			r.Stamp.Owner = domain.OwnerID(u)
		case headerOwnerSequence:
			r.Stamp.Seq, e = strconv.ParseUint(h.Value, 10, 64)
		case headerLogTime:
			var n int64
			n, e = strconv.ParseInt(h.Value, 10, 64)
			logTime = domain.Instant(n)
		case headerMust:
			r.Must = h.Value == "1"
		case headerTrace:
			r.Trace = h.Value
		case headerContentType:
			contentType = h.Value
		}
		note(h.Key, e)
	}
	subjectErr := error(nil)
	read, known := decoders[r.Type]
	if known && r.Type != "PartitionOwned" {
		r.Subject, subjectErr = domain.ParseInvocationID(subject)
		note(headerSubject, subjectErr)
	}
	if !known {
		read, known = registryDecoders[r.Type]
	}
	if !known {
		read, known = operationDecoders[r.Type]
	}
	switch {
	case !known && r.Type != "" && spec == "1.0" && err == nil:
		return r // a newer version's event: its Must says whether it may be skipped
	case !known:
		err = fmt.Errorf("type %q is none of ours", clipped(r.Type))
	case spec != "1.0":
		err = fmt.Errorf("header %s is %q, not 1.0", headerSpecVersion, clipped(spec))
	case r.ID.IsZero():
		err = fmt.Errorf("header %s is missing", headerID)
	case err == nil && contentType != "application/json":
		err = fmt.Errorf("header %s is %q, not application/json", headerContentType, clipped(contentType))
	}
	if known && err == nil {
		b := body{lean: lean, rec: &r, subject: subject}
		var e domain.Event
		if e, err = read(&b, m.Value); err == nil {
			if p, ok := e.(domain.PartitionOwned); ok {
				p.LogTime = logTime
				e = p
			}
			r.Event = e
			return r
		}
	}
	// r.Must is dropped: what is known and broken is void, not a reason to stop.
	r.Must, r.Problem = false, err.Error()
	return r
}

func clipped(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}

// parseTime reads exactly what we write, without the cost of a general parser, and everything else by it.
func parseTime(s string) (domain.Instant, error) {
	if len(s) == 24 && s[4] == '-' && s[7] == '-' && s[10] == 'T' && s[13] == ':' && s[16] == ':' && s[19] == '.' && s[23] == 'Z' {
		n := func(i, j int) int {
			v := 0
			for ; i < j; i++ {
				if s[i] < '0' || s[i] > '9' {
					return -1 << 20
				}
				v = v*10 + int(s[i]-'0')
			}
			return v
		}
		y, mo, d, h, mi, se, ms := n(0, 4), n(5, 7), n(8, 10), n(11, 13), n(14, 16), n(17, 19), n(20, 23)
		if y >= 0 && mo >= 1 && mo <= 12 && d >= 1 && d <= 28 && h >= 0 && h < 24 && mi >= 0 && mi < 60 && se >= 0 && se < 60 && ms >= 0 {
			t := time.Date(y, time.Month(mo), d, h, mi, se, 0, time.UTC)
			return domain.Instant(t.Unix()*1000 + int64(ms)), nil
		}
	}
	return domain.ParseInstant(s)
}

// body reads the members of an event's value.
type body struct {
	lean    bool
	rec     *domain.Record
	subject string
}

func (b *body) str(dst *string) func([]byte) error {
	return func(v []byte) error {
		s, err := unquote(v)
		*dst = string(s)
		return err
	}
}

func (b *body) num(dst *int64) func([]byte) error {
	return func(v []byte) (err error) {
		*dst, err = strconv.ParseInt(string(v), 10, 64)
		return err
	}
}

func (b *body) small(dst *int) func([]byte) error {
	return func(v []byte) error {
		n, err := strconv.ParseInt(string(v), 10, 32)
		if err == nil && n < 0 {
			err = fmt.Errorf("%d is negative", n)
		}
		*dst = int(n)
		return err
	}
}

func (b *body) flag(dst *bool) func([]byte) error {
	return func(v []byte) (err error) {
		*dst, err = strconv.ParseBool(string(v))
		return err
	}
}

func (b *body) time(dst *domain.Instant) func([]byte) error {
	return func(v []byte) error {
		s, err := unquote(v)
		if err == nil {
			*dst, err = parseTime(string(s))
		}
		return err
	}
}

func (b *body) uuid(dst *domain.UUID) func([]byte) error {
	return func(v []byte) error {
		s, err := unquote(v)
		if err == nil {
			*dst, err = domain.ParseUUID(string(s))
		}
		return err
	}
}

func (b *body) id(dst *domain.InvocationID) func([]byte) error {
	return func(v []byte) error {
		s, err := unquote(v)
		if err == nil {
			*dst, err = domain.ParseInvocationID(string(s))
		}
		return err
	}
}

func (b *body) digest(dst *domain.Digest) func([]byte) error {
	return func(v []byte) error {
		s, err := unquote(v)
		if err == nil {
			*dst, err = domain.ParseDigest(string(s))
		}
		return err
	}
}

func (b *body) seed(dst *[16]byte) func([]byte) error {
	return func(v []byte) error {
		s, err := unquote(v)
		if err != nil {
			return err
		}
		if len(s) != 32 {
			return fmt.Errorf("a seed has 32 hexadecimal digits, not %d", len(s))
		}
		_, err = hex.Decode(dst[:], s)
		return err
	}
}

// fields maps a member's name to what reads it. Unknown members are skipped: a newer writer may add some.
type fields map[string]func([]byte) error

func (f fields) payload(b *body, name string, p *domain.Payload) fields {
	if b.lean {
		skip := func([]byte) error { return nil }
		f[name], f[name+"_base64"] = skip, skip
	} else {
		f[name] = func(v []byte) error {
			s, err := unquote(v)
			*p = domain.Bytes(s)
			return err
		}
		f[name+"_base64"] = func(v []byte) error {
			s, err := unquote(v)
			if err != nil {
				return err
			}
			out := make([]byte, base64.StdEncoding.DecodedLen(len(s)))
			n, err := base64.StdEncoding.Decode(out, s)
			*p = domain.Bytes(out[:n])
			return err
		}
	}
	f[name+"_digest"] = func(v []byte) error {
		p.Stored = true
		return b.digest(&p.Digest)(v)
	}
	f[name+"_size"] = b.num(&p.Size)
	return f
}

func (f fields) usage(b *body, u *domain.Usage) fields {
	f["duration_us"] = func(v []byte) error {
		var n int64
		err := b.num(&n)(v)
		if err == nil && (n < 0 || n > math.MaxInt64/1000) {
			err = fmt.Errorf("%d is not a duration", n)
		}
		u.Duration = time.Duration(n) * time.Microsecond
		return err
	}
	f["peak_memory"] = b.num(&u.PeakMemory)
	f["fuel"] = b.num(&u.Fuel)
	f["fuel_costs"] = b.small(&u.Costs)
	f["output_digest"] = b.digest(&u.Output)
	return f
}

func (f fields) log(b *body, l *domain.AttemptLog) fields {
	if !b.lean {
		f["log"], f["log_cut"] = b.str(&l.Text), b.flag(&l.Cut)
	}
	return f
}

// read reads the object; names in required must be there.
func (f fields) read(v []byte, required ...string) error {
	seen := 0
	err := eachMember(v, func(name, value []byte) error {
		for _, r := range required {
			if r == string(name) {
				seen++
			}
		}
		if fn := f[string(name)]; fn != nil {
			return fn(value)
		}
		return nil
	})
	if err == nil && seen < len(required) {
		err = fmt.Errorf("one of %v is missing", required)
	}
	return err
}
