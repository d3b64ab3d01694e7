package eventstore

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"deed/domain"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the golden files; only commit a change that you understand and want")

const cluster = "0b9e4f52-6a0d-4c8e-9b7d-1f2a3c4d5e6f"

var (
	testID     = domain.NewInvocationID(1767225600123, 3, [8]byte{1, 2, 3, 4, 5, 6, 7, 8})
	testOwner  = domain.OwnerID{0xaa, 1, 2, 3, 4, 5, 0x46, 7, 0x88, 9, 10, 11, 12, 13, 14, 15}
	testPolicy = domain.Policy{Set: true, MaxRetries: 2, MaxAge: time.Minute, OnSuccess: "obs://results/ok", OnFailure: "function:repair"}
	testFiles  = domain.Files{Digest: domain.DigestOf([]byte("files")), Size: 2048}
	testEnv    = []domain.EnvVar{{Name: "ZONE", Value: "a\"b"}, {Name: "ALPHA", Value: "ünï"}}
)

func requested() domain.InvocationRequested {
	return domain.InvocationRequested{
		ID: testID, Function: domain.NativeFunction("echo"), Version: "7", Code: domain.DigestOf([]byte("module")), Limits: domain.DefaultLimits(),
		Policy: testPolicy, Deadline: testID.T0().Add(time.Minute), Env: testEnv, Key: "order-17", Payload: domain.Bytes([]byte("{\"a\":1}\n")),
	}
}

// catalogue has one record of every event type; the ones with two faces are there twice.
func catalogue() map[string]domain.Record {
	at := testID.T0().Add(5 * time.Millisecond)
	state := domain.Invocation{}.Evolve(requested(), testID.T0(), domain.OwnerID{})
	state = state.Evolve(domain.AttemptStarted{Attempt: 1}, at, testOwner).Evolve(domain.AttemptFailed{Attempt: 1, Kind: domain.FailedExit, Error: "exit status 1"}, at, testOwner)
	withFiles := requested()
	withFiles.Files, withFiles.Policy, withFiles.Key, withFiles.Env = testFiles, domain.Policy{}, "", nil
	filed := domain.Invocation{}.Evolve(withFiles, testID.T0(), domain.OwnerID{})
	child := requested()
	child.ID = domain.ChildID(testID, at, domain.NotificationID(testID, "function:repair", domain.Failed))
	child.Parent, child.Root, child.Hops, child.Sink, child.Notification, child.Key = testID, testID, 1, "function:repair", domain.NotificationID(testID, "function:repair", domain.Failed), ""
	child.Env, child.Policy = nil, domain.Policy{}
	child.Payload = domain.Payload{Stored: true, Digest: domain.DigestOf([]byte("big")), Size: 70_000}
	usage, log := domain.Usage{Duration: 1234 * time.Microsecond, PeakMemory: 1 << 20}, domain.AttemptLog{Text: "one line\n", Cut: true}
	metered := usage
	metered.Fuel, metered.Costs, metered.Output = 123_456_789, 1, domain.DigestOf([]byte("ok"))
	sink, nid := domain.Target("obs://results/ok"), domain.NotificationID(testID, "obs://results/ok", domain.Succeeded)
	other := domain.FunctionID{Region: "r1", Project: "p1", Package: "shop", Name: "pay"}
	waited := requested()
	waited.Sync, waited.Policy, waited.Key, waited.Function, waited.Version = true, domain.Policy{}, "", other, domain.LatestVersion
	again := requested()
	again.Redrives = child.ID
	op := domain.UUID{7}
	events := map[string]domain.Event{
		"InvocationRequested-again": again,
		"InvocationRequested-sync":  waited,
		"InvocationRequested":       requested(),
		"InvocationRequested-files": withFiles,
		"InvocationRequested-child": child,
		"CancelRequested":           domain.CancelRequested{Force: true, By: "cli"},
		"AttemptStarted":            domain.AttemptStarted{Attempt: 1, Seed: [16]byte{1, 2, 3}},
		"AttemptSucceeded":          domain.AttemptSucceeded{Attempt: 1, Usage: usage, Log: log, Result: domain.Bytes([]byte("tab\there \u2028 \x01"))},
		"AttemptSucceeded-metered":  domain.AttemptSucceeded{Attempt: 1, Usage: metered, Result: domain.Bytes([]byte("ok"))},
		"AttemptFailed-metered":     domain.AttemptFailed{Attempt: 1, Kind: domain.FailedTimeout, Error: "too long", Usage: metered, Result: domain.Bytes(nil)},
		"AttemptSucceeded-binary":   domain.AttemptSucceeded{Attempt: 1, Usage: usage, Result: domain.Bytes([]byte{0xff, 0, 1})},
		"AttemptFailed":             domain.AttemptFailed{Attempt: 1, Kind: domain.FailedExit, Error: "exit status 3", ExitCode: 3, Usage: usage, Log: log, Result: domain.Bytes(nil)},
		"RetryScheduled":            domain.RetryScheduled{Attempt: 2, Due: at.Add(time.Second)},
		"InvocationSucceeded":       domain.InvocationSucceeded{Attempts: 1},
		"InvocationFailed":          domain.InvocationFailed{Attempts: 3, Condition: domain.UnhandledInvocationError, Kind: domain.FailedTrap, Error: "unreachable"},
		"InvocationDiscarded":       domain.InvocationDiscarded{Condition: domain.EventAgeExceeded, Reason: "valid until then"},
		"NotificationOwed":          domain.NotificationOwed{Sink: sink, ID: nid, ValidUntil: at.Add(domain.NotificationValidity), Record: domain.Bytes([]byte(`{"timestamp":"x"}`))},
		"NotificationDelivered":     domain.NotificationDelivered{Sink: sink, ID: nid, Location: "ok/x.json"},
		"NotificationFailed":        domain.NotificationFailed{Sink: sink, ID: nid, Try: 1, Due: at.Add(time.Second), Error: "disk full"},
		"NotificationAbandoned":     domain.NotificationAbandoned{Sink: sink, ID: nid, Reason: "expired", Error: "disk full"},
		"InvocationCarried-files":   domain.InvocationCarried{State: filed, Request: domain.Bytes([]byte("x"))},
		"InvocationCarried":         domain.InvocationCarried{State: state, Request: domain.Bytes([]byte("x")), Env: testEnv},
		"RequestRefused":            domain.RequestRefused{Offset: 17, Reason: "too-late"},
		"PartitionOwned":            domain.PartitionOwned{LogTime: at, Group: "deed.owners", Node: "n1", Protocol: domain.Protocol},
		"PartitionOwned-renewal":    domain.PartitionOwned{Renewal: true, LogTime: at, Protocol: domain.Protocol, Upto: 41, Chain: domain.DigestOf(nil)},
		"ClusterFormed":             domain.ClusterFormed{Cluster: domain.UUID{1}},
		"FunctionDeployed":          domain.FunctionDeployed{Function: domain.NativeFunction("echo"), Expected: 1, Version: "2", Code: domain.DigestOf([]byte("m")), Size: 99, Limits: domain.DefaultLimits(), Env: testEnv},
		"FunctionDeleted":           domain.FunctionDeleted{Function: domain.NativeFunction("echo"), Expected: 2},
		"PolicyChanged":             domain.PolicyChanged{Function: domain.NativeFunction("echo"), Expected: 2, Policy: testPolicy},
		"FunctionDeployed-files":    domain.FunctionDeployed{Function: domain.NativeFunction("echo"), Expected: 3, Version: "3", Code: domain.DigestOf([]byte("m")), Size: 99, Files: testFiles, Limits: domain.DefaultLimits()},
		"FunctionDeployed-latest":   domain.FunctionDeployed{Function: other, Version: domain.LatestVersion, Code: domain.DigestOf([]byte("m")), Size: 99, Limits: domain.DefaultLimits(), Agency: "reader", About: `{"handler":"a.b"}`, Limited: true, Max: 400},
		"PolicyChanged-version":     domain.PolicyChanged{Function: other, Expected: 4, Version: "v1", Policy: testPolicy, Shown: `{"enable_async_status_log":true}`},
		"VersionPublished":          domain.VersionPublished{Function: other, Expected: 5, Version: "v1", Description: "the first"},
		"VersionDeleted":            domain.VersionDeleted{Function: other, Expected: 6, Version: "v1"},
		"AliasSet": domain.AliasSet{Function: other, Expected: 7, Alias: domain.Alias{
			Name: "blue", Version: "v1", Description: "d", Other: "v2", Weight: 30, AnyRule: true, Shown: "{}",
			Rules: []domain.AliasRule{{Kind: "header", Param: "tier", Op: "in", Values: []string{"gold", "ü\""}}, {Kind: "cookie", Param: "c", Op: "=", Values: []string{"1"}}},
		}},
		"AliasDeleted":        domain.AliasDeleted{Function: other, Expected: 8, Name: "blue"},
		"ConcurrencyLimited":  domain.ConcurrencyLimited{Function: other, Expected: 9, Max: domain.NoMaxInstances},
		"FunctionTagged":      domain.FunctionTagged{Function: other, Expected: 10, Tags: testEnv},
		"InstancesReserved":   domain.InstancesReserved{Function: other, Expected: 11, Qualifier: "!blue", Count: 3, Shown: "{}"},
		"StatusLogEnabled":    domain.StatusLogEnabled{Project: "p1"},
		"KeyCreated":          domain.KeyCreated{Access: "AK1", Sealed: []byte{1, 0xff}, Projects: []string{"p1", "p2"}, Note: "ci"},
		"KeyCreated-operator": domain.KeyCreated{Access: "AK0", Sealed: []byte{2}, Operator: true},
		"KeyRevoked":          domain.KeyRevoked{Access: "AK1"},
		"OperationRequested": domain.OperationRequested{ID: op, Kind: domain.Redrive, Project: "p1", By: "cli", Rate: 50, Pinned: true, Select: domain.OperationSelection{
			Function: "shop:pay", Status: domain.Status(domain.Failed), Condition: domain.InvocationTimeout, Since: testID.T0(), Until: at,
		}},
		"OperationRequested-ids": domain.OperationRequested{ID: op, Kind: domain.Renotify, Project: "p1", Rate: 1, Select: domain.OperationSelection{IDs: []domain.InvocationID{testID}, AnyCondition: true}},
		"OperationPlanned":       domain.OperationPlanned{ID: op, Total: 17, Already: 2, Open: 1, Older: true},
		"OperationAdvanced":      domain.OperationAdvanced{ID: op, Step: 1, Old: []domain.InvocationID{testID, child.ID}, New: []domain.InvocationID{child.ID, testID}},
		"OperationSettled":       domain.OperationSettled{ID: op, Step: 1, Problems: []string{"", "gone"}, Places: []string{"bucket/a", ""}},
		"NotificationsFed":       domain.NotificationsFed{Partition: 3, Upto: 70_000, Marker: 61_234},
		"OperationPaused":        domain.OperationPaused{ID: op, By: "cli"},
		"OperationResumed":       domain.OperationResumed{ID: op, By: "cli"},
		"OperationEnded":         domain.OperationEnded{ID: op, By: "cli", Reason: "stopped"},
		"PolicyChanged-unset":    domain.PolicyChanged{Function: domain.NativeFunction("echo"), Expected: 3},
	}
	records := map[string]domain.Record{}
	for name, e := range events {
		r := domain.Record{ID: domain.OwnerRecordID(testOwner, 5), Type: e.Type(), Subject: testID, At: at, Causation: domain.RequestRecordID(testID), Event: e}
		r.Stamp = domain.Stamp{Epoch: 2, Owner: testOwner, Seq: 5}
		switch e := e.(type) {
		case domain.InvocationRequested:
			r.Subject = e.ID
			if e.Parent.IsZero() {
				r.ID, r.At, r.Stamp, r.Causation = domain.RequestRecordID(testID), testID.T0(), domain.Stamp{}, domain.UUID{}
				r.Trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
			} else {
				r.Correlation = e.Root
			}
		case domain.CancelRequested:
			r.Stamp, r.Causation = domain.Stamp{}, domain.UUID{}
		case domain.PartitionOwned:
			r.Subject, r.Causation = domain.InvocationID{}, domain.UUID{}
		default:
			if _, registry := registrySubject(e); !registry {
				break
			}
			r.Stamp, r.Subject, r.Causation = domain.Stamp{}, domain.InvocationID{}, domain.UUID{}
		}
		records[name] = r
	}
	return records
}

func render(m Message) []byte {
	var b bytes.Buffer
	b.WriteString("key: " + string(m.Key) + "\n")
	for _, h := range m.Headers {
		b.WriteString(h.Key + ": " + h.Value + "\n")
	}
	b.WriteString("\n" + string(m.Value) + "\n")
	return b.Bytes()
}

// TestWireGolden is the promise to the future: what these files say, every later version must read.
func TestWireGolden(t *testing.T) {
	types := map[string]bool{}
	for name, r := range catalogue() {
		types[r.Type] = true
		m, err := Encode(cluster, 3, &r)
		if err != nil {
			t.Fatal(name, err)
		}
		if !json.Valid(m.Value) {
			t.Errorf("%s: the value is not JSON: %s", name, m.Value)
		}
		path := filepath.Join("testdata", "wire", name+".txt")
		if *update {
			if err := os.WriteFile(path, render(m), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path) //nolint:gosec // a test's own file
		if err != nil {
			t.Fatal(err)
		}
		if got := render(m); !bytes.Equal(got, want) {
			t.Errorf("%s: the wire form changed:\n%s\nwant\n%s", name, got, want)
		}
		back := Decode(m)
		if back.Problem != "" || !reflect.DeepEqual(norm(back), norm(r)) {
			t.Errorf("%s: decodes to\n%+v\nwant\n%+v", name, back, r)
		}
		if lean := DecodeLean(m); lean.Problem != "" || lean.Event == nil {
			t.Errorf("%s: lean: %s", name, lean.Problem)
		}
	}
	for _, known := range []map[string]func(*body, []byte) (domain.Event, error){decoders, registryDecoders, operationDecoders} {
		for name := range known {
			if !types[name] {
				t.Errorf("%s has no golden file", name)
			}
		}
	}
}

// norm makes nil and empty payloads alike.
func norm(r domain.Record) domain.Record {
	b, _ := json.Marshal(r.Event)
	r.Event, r.Project = nil, ""
	r.Problem = strings.ReplaceAll(string(b), `"Inline":null`, `"Inline":""`)
	return r
}

func TestDecodeIsTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{}
		all := catalogue()
		for n := range all {
			names = append(names, n)
		}
		r := all[rapid.SampledFrom(sorted(names)).Draw(t, "event")]
		m, err := Encode(cluster, 3, &r)
		if err != nil {
			t.Fatal(err)
		}
		m.Value = append([]byte(nil), m.Value...)
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				m.Value[rapid.IntRange(0, len(m.Value)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
			case 1:
				m.Value = append([]byte(nil), m.Value[:rapid.IntRange(1, len(m.Value)).Draw(t, "cut")]...)
			case 2:
				i := rapid.IntRange(0, len(m.Headers)-1).Draw(t, "header")
				m.Headers = append(append([]Header(nil), m.Headers[:i]...), m.Headers[i+1:]...)
			case 3:
				i := rapid.IntRange(0, len(m.Headers)-1).Draw(t, "header")
				m.Headers = append([]Header(nil), m.Headers...)
				m.Headers[i].Value = rapid.String().Draw(t, "value")
			}
			if len(m.Headers) == 0 {
				break
			}
		}
		for _, r := range []domain.Record{Decode(m), DecodeLean(m)} {
			if r.Event != nil && r.Problem != "" {
				t.Fatalf("an event and a problem: %+v", r)
			}
		}
	})
}

// TestPayloadComesBack: byte for byte, whatever the bytes, and the encoded length is the one foretold.
func TestPayloadComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) })).Draw(t, "payload")
		r := catalogue()["InvocationRequested"]
		e := requested()
		e.Payload = domain.Bytes(data)
		r.Event = e
		m, err := Encode(cluster, 3, &r)
		if err != nil {
			t.Fatal(err)
		}
		got := Decode(m)
		if got.Problem != "" {
			t.Fatal(got.Problem)
		}
		if back := got.Event.(domain.InvocationRequested).Payload.Inline; !bytes.Equal(back, data) {
			t.Fatalf("%q came back as %q", data, back)
		}
		o := newObject(nil)
		o.payload("p", domain.Bytes(data))
		name := len(`{"p":`)
		if !bytes.HasPrefix(o.b, []byte(`{"p":`)) {
			name = len(`{"p_base64":`)
		}
		if n := len(o.b) - name; n != domain.EncodedLen(data) {
			t.Fatalf("encoded to %d bytes, foretold %d", n, domain.EncodedLen(data))
		}
	})
}

func sorted(s []string) []string {
	for i := range s {
		for j := i + 1; j < len(s); j++ {
			if s[j] < s[i] {
				s[i], s[j] = s[j], s[i]
			}
		}
	}
	return s
}

// TestHalfFiles: what names files without their size, or a size of none, was not written by us. A function must not run with
// less than it was deployed with.
func TestHalfFiles(t *testing.T) {
	digest := `"files":"` + testFiles.Digest.String() + `",`
	for _, name := range []string{"InvocationRequested-files", "FunctionDeployed-files", "InvocationCarried-files"} {
		r := catalogue()[name]
		m, err := Encode(cluster, 3, &r)
		if err != nil {
			t.Fatal(err)
		}
		for _, change := range [][2]string{{digest, ""}, {`"files_size":2048,`, ""}, {`"files_size":2048`, `"files_size":0`}, {`"files_size":2048`, `"files_size":-1`}} {
			broken := m
			if broken.Value = bytes.Replace(m.Value, []byte(change[0]), []byte(change[1]), 1); bytes.Equal(broken.Value, m.Value) {
				t.Fatalf("%s has no %s", name, change[0])
			}
			for _, got := range []domain.Record{Decode(broken), DecodeLean(broken)} {
				if got.Event != nil || !strings.Contains(got.Problem, "files") {
					t.Errorf("%s without %s: %+v", name, change[0], got)
				}
			}
		}
	}
}

func TestOversizeIsRefused(t *testing.T) {
	e := requested()
	e.Payload = domain.Bytes(bytes.Repeat([]byte("x"), domain.MaxRecord))
	r := domain.Record{ID: domain.RequestRecordID(testID), Subject: testID, At: testID.T0(), Event: e}
	if _, err := Encode(cluster, 3, &r); err == nil || !strings.Contains(err.Error(), "524288") {
		t.Fatal(err)
	}
}

func BenchmarkDecodeLean(b *testing.B) {
	r := catalogue()["InvocationRequested"]
	m, _ := Encode(cluster, 3, &r)
	b.ReportAllocs()
	for b.Loop() {
		DecodeLean(m)
	}
}

func BenchmarkEncode(b *testing.B) {
	r := catalogue()["AttemptSucceeded"]
	b.ReportAllocs()
	for b.Loop() {
		_, _ = Encode(cluster, 3, &r)
	}
}
