package eventstore_test

import (
	"errors"
	"testing"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"

	"pgregory.net/rapid"
)

// chained writes a log whose owner renews its marker with an honest chain, at some distance behind its upto.
func chained(t *rapid.T) []eventstore.Judged {
	var out []eventstore.Judged
	var owner eventstore.Chain
	stamp := domain.Stamp{Owner: domain.OwnerID{7}}
	add := func(e domain.Event) {
		r := domain.Record{ID: domain.OwnerRecordID(stamp.Owner, stamp.Seq), Type: e.Type(), Event: e, Stamp: stamp, Subject: domain.InvocationID{0, 0, 0, 0, 0, 0, 0x70, 0, 0x80}}
		m, err := eventstore.Encode("c", 0, &r)
		if err != nil {
			t.Fatal(err)
		}
		m.Offset = int64(len(out))
		j := eventstore.Judged{Message: m, Record: r}
		if rapid.IntRange(0, 9).Draw(t, "void") == 0 && r.Type != "PartitionOwned" {
			j.Verdict.Reason = partition.Duplicate
		}
		out = append(out, j)
		if err := owner.Add(&out[len(out)-1]); err != nil {
			t.Fatal("the owner's own chain:", err)
		}
	}
	add(domain.CancelRequested{})
	for range rapid.IntRange(0, 60).Draw(t, "steps") {
		stamp.Seq++
		switch rapid.IntRange(0, 9).Draw(t, "what") {
		case 0:
			stamp = domain.Stamp{Epoch: stamp.Epoch + 1, Owner: domain.OwnerID{byte(stamp.Epoch)}}
			add(domain.PartitionOwned{Protocol: 1})
		case 1, 2:
			digest, good := owner.At()
			if !good {
				continue
			}
			renewal := domain.PartitionOwned{Renewal: true, Protocol: 1, Upto: int64(len(out)), Chain: digest}
			for range rapid.IntRange(0, 3).Draw(t, "in flight") {
				add(domain.CancelRequested{})
			}
			add(renewal)
		default:
			add(domain.AttemptStarted{Attempt: int(stamp.Seq)})
		}
	}
	return out
}

// TestChain: readers that begin anywhere find nothing wrong with an honest log, and one that read from the start finds any
// record that was changed, at the next renewal that covers it.
func TestChain(t *testing.T) {
	found, covered := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		log := chained(t)
		read := func(log []eventstore.Judged) error {
			var c eventstore.Chain
			for n := range log {
				if err := c.Add(&log[n]); err != nil {
					return err
				}
			}
			return nil
		}
		from := rapid.IntRange(0, len(log)-1).Draw(t, "from")
		if err := read(log[from:]); err != nil {
			t.Fatalf("an honest log, read from %d: %v", from, err)
		}
		bad := rapid.IntRange(0, len(log)-1).Draw(t, "changed")
		var since int64 // of the last claim before: what is before it, it does not cover
		cover := false
		for n, j := range log {
			if m, ok := j.Record.Event.(domain.PartitionOwned); ok && n > bad {
				if !m.Renewal {
					break
				}
				if int64(bad) >= since && int64(bad) < m.Upto {
					cover = true
					break
				}
			}
		}
		changed := append([]eventstore.Judged(nil), log...)
		j := changed[bad]
		if _, marker := j.Record.Event.(domain.PartitionOwned); marker {
			return
		}
		j.Message.Value = append([]byte("x"), j.Message.Value...)
		changed[bad] = j
		err := read(changed)
		if cover {
			covered++
		}
		switch {
		case cover && !errors.Is(err, eventstore.ErrDiverged):
			t.Fatalf("record %d of %d was changed, and nobody noticed: %v", bad, len(log), err)
		case !cover && err != nil:
			t.Fatal(err)
		case err != nil:
			found++
		}
	})
	if covered < 5 {
		t.Errorf("only %d changes were covered", covered)
	}
	t.Log(covered, found)
}
