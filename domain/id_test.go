package domain_test

import (
	"strings"
	"testing"
	"time"

	"deed/domain"

	"pgregory.net/rapid"
)

func uuids() *rapid.Generator[domain.UUID] {
	return rapid.Map(rapid.SliceOfN(rapid.Byte(), 16, 16), func(b []byte) domain.UUID { return domain.UUID(b) })
}

func instants() *rapid.Generator[domain.Instant] {
	return rapid.Map(rapid.Int64Range(0, 1<<48-1), func(i int64) domain.Instant { return domain.Instant(i) })
}

func ids() *rapid.Generator[domain.InvocationID] {
	return rapid.Custom(func(t *rapid.T) domain.InvocationID {
		return domain.NewInvocationID(instants().Draw(t, "t0"), rapid.IntRange(0, domain.MaxSlots-1).Draw(t, "slot"), [8]byte(rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "tail")))
	})
}

// TestInvocationID: an id says when and where, in a form that comes back.
func TestInvocationID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		t0, slot := instants().Draw(t, "t0"), rapid.IntRange(0, domain.MaxSlots-1).Draw(t, "slot")
		tail := [8]byte(rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "tail"))
		id := domain.NewInvocationID(t0, slot, tail)
		if id.T0() != t0 || id.Slot() != slot || id.IsZero() {
			t.Fatalf("%s: t0 %d, slot %d", id, id.T0(), id.Slot())
		}
		for _, s := range []string{id.String(), strings.ToUpper(id.String())} {
			if back, err := domain.ParseInvocationID(s); err != nil || back != id {
				t.Fatalf("%s came back as %s, %v", s, back, err)
			}
		}
		if later := domain.NewInvocationID(t0+1, 0, tail); t0 < 1<<48-1 && later.String() <= id.String() {
			t.Fatalf("%s does not sort behind %s", later, id)
		}
	})
}

func TestParseInvocationID(t *testing.T) {
	for _, s := range []string{
		"", "r1", "0199f2a4-1c3e-4003-8a5b-2f6d0c9e4b17", // version 4
		"0199f2a4-1c3e-7003-ca5b-2f6d0c9e4b17", // another variant
		"0199f2a41c3e-7003-8a5b-2f6d0c9e4b17-", "0199f2a4-1c3e-7003-8a5b-2f6d0c9e4bzz",
		strings.Repeat("9", 1000),
	} {
		_, err := domain.ParseInvocationID(s)
		r := rejection(t, err)
		if r == nil || r.Code != domain.CodeInvalid || len(r.Words) > 200 {
			t.Errorf("%.60q: %v", s, err)
		}
	}
}

// TestChildID: the child lies where its parent lies, begins when its parent ended, and is the same whoever makes it.
func TestChildID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parent, ended, n := ids().Draw(t, "parent"), instants().Draw(t, "ended"), uuids().Draw(t, "notification")
		child := domain.ChildID(parent, ended, n)
		if child.Slot() != parent.Slot() || child.T0() != ended || child != domain.ChildID(parent, ended, n) {
			t.Fatalf("child %s of %s", child, parent)
		}
		if _, err := domain.ParseInvocationID(child.String()); err != nil {
			t.Fatal(err)
		}
		if other := uuids().Draw(t, "other"); other != n && domain.ChildID(parent, ended, other) == child {
			t.Fatalf("two notifications, one child %s", child)
		}
	})
}

// TestRecordIDs: every derived id is deterministic, of version 5, and of one thing only.
func TestRecordIDs(t *testing.T) {
	id, other := domain.NewInvocationID(1, 2, [8]byte{3}), domain.NewInvocationID(1, 2, [8]byte{4})
	ann, bob := domain.OwnerID{1}, domain.OwnerID{2}
	made := func() []domain.UUID {
		return []domain.UUID{
			domain.RequestRecordID(id), domain.RequestRecordID(other),
			domain.OwnerRecordID(ann, 1), domain.OwnerRecordID(ann, 2), domain.OwnerRecordID(ann, 12), domain.OwnerRecordID(bob, 1),
			domain.NotificationID(id, "obs://abc", domain.Succeeded), domain.NotificationID(id, "obs://abc", domain.Failed),
			domain.NotificationID(id, "obs://abd", domain.Succeeded), domain.NotificationID(other, "obs://abc", domain.Succeeded),
		}
	}
	first, again := made(), made()
	seen := map[domain.UUID]int{}
	for i, u := range first {
		if u != again[i] {
			t.Errorf("%d: %s, then %s", i, u, again[i])
		}
		if u[6]>>4 != 5 || u[8]>>6 != 2 {
			t.Errorf("%d: %s is not of version 5", i, u)
		}
		if j, twice := seen[u]; twice {
			t.Errorf("%d and %d are both %s", i, j, u)
		}
		seen[u] = i
	}
	// A failure and a discard are one class: whoever is told, is told once.
	if domain.NotificationID(id, "obs://abc", domain.Failed) != domain.NotificationID(id, "obs://abc", domain.Discarded) {
		t.Error("a discard is another class than a failure")
	}
	// RFC 9562, A.4: the test vector of version 5.
	dns := domain.UUID{0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}
	if got := domain.NewUUIDv5(dns, []byte("www.example.com")).String(); got != "2ed6657d-e927-568b-95e1-2665a8aea6a2" {
		t.Errorf("version 5 of www.example.com: %s", got)
	}
}

func TestUUIDRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := uuids().Draw(t, "uuid")
		if back, err := domain.ParseUUID(u.String()); err != nil || back != u {
			t.Fatalf("%s came back as %s, %v", u, back, err)
		}
	})
}

func TestDigest(t *testing.T) {
	d := domain.DigestOf([]byte("module"))
	if back, err := domain.ParseDigest(d.String()); err != nil || back != d || d.IsZero() {
		t.Errorf("%s came back as %s, %v", d, back, err)
	}
	for _, s := range []string{"", "sha256:", "md5" + d.String()[3:], d.String() + "0", "sha256:" + strings.Repeat("z", 64)} {
		if back, err := domain.ParseDigest(s); err == nil || !back.IsZero() {
			t.Errorf("%q is taken for a digest", s)
		}
	}
}

// TestBackoff: bounded by the curve, the same for ever, and not the same for all.
func TestBackoff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id, n := uuids().Draw(t, "id"), rapid.OneOf(rapid.IntRange(-3, 12), rapid.Int()).Draw(t, "n")
		ceiling := domain.BackoffCap
		if n <= 6 {
			ceiling = domain.BackoffBase << (max(n, 1) - 1)
		}
		d := domain.Backoff(id, n)
		if d < 0 || d >= ceiling {
			t.Fatalf("wait %d is %s, not within [0, %s)", n, d, ceiling)
		}
		if d != domain.Backoff(id, n) {
			t.Fatalf("wait %d is drawn anew", n)
		}
	})
	// The mean of many is half the ceiling: it is full jitter.
	var sum time.Duration
	const many = 4096
	for i := range many {
		sum += domain.Backoff(domain.UUID{byte(i), byte(i >> 8)}, 6)
	}
	if mean := sum / many; mean < 15*time.Second || mean > 17*time.Second {
		t.Errorf("the mean of the sixth waits is %s, not about 16s", mean)
	}
}
