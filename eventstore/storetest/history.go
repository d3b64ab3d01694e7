package storetest

import (
	"errors"
	"time"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
)

// offsetAt asks for offsets by time. Brokers may stamp records with a time of their own, so the times asked for are those that
// the records have.
func offsetAt(f *fixture) {
	all := f.fill(0, 20)
	if got, err := f.log.OffsetAt(f.ctx, 0, time.UnixMilli(0)); err != nil || got != all[0].Offset {
		f.Errorf("offset at the beginning of time: %d, %v; want %d", got, err, all[0].Offset)
	}
	for _, m := range all {
		want := m.Offset
		for _, earlier := range all { // the first of that time, or later
			if !earlier.Time.Before(m.Time) {
				want = earlier.Offset
				break
			}
		}
		if got, err := f.log.OffsetAt(f.ctx, 0, m.Time); err != nil || got != want {
			f.Errorf("offset at %s: %d, %v; want %d", m.Time, got, err, want)
		}
	}
	late := all[len(all)-1].Time.Add(time.Hour)
	if got, err := f.log.OffsetAt(f.ctx, 0, late); err != nil || got != all[len(all)-1].Offset+1 {
		f.Errorf("offset after everything: %d, %v; want the end, %d", got, err, all[len(all)-1].Offset+1)
	}
}

// trim removes the beginning: it is gone for readers, who are told, and the rest is as it was.
func trim(f *fixture) {
	all := f.fill(1, 30)
	cut := all[12].Offset
	if err := f.log.Trim(f.ctx, 1, all[29].Offset+1); err == nil {
		f.Error("a trim to the end, which would remove everything, is no error")
	}
	if err := f.log.Trim(f.ctx, 1, cut); err != nil {
		f.Fatal(err)
	}
	if start, end, err := f.log.Bounds(f.ctx, 1); err != nil || start != cut || end != all[29].Offset+1 {
		f.Errorf("bounds after a trim: %d to %d, %v; want %d to %d", start, end, err, cut, all[29].Offset+1)
	}
	if got, err := f.log.Read(f.ctx, 1, all[3].Offset, 5); err == nil {
		f.Errorf("what was removed can be read: %d records", len(got))
	}
	if err := f.log.Follow(f.ctx, 1, all[3].Offset, func([]eventstore.Message) error { return errEnough }); err == nil || errors.Is(err, errEnough) {
		f.Errorf("what was removed can be followed: %v", err)
	}
	got, err := f.log.Read(f.ctx, 1, cut, 100)
	if err != nil || len(got) == 0 {
		f.Fatalf("read after a trim: %d records, %v", len(got), err)
	}
	if err := same(got, all[12:12+len(got)]); err != nil {
		f.Error(err)
	}
	if err := f.log.Trim(f.ctx, 1, all[5].Offset); err != nil {
		f.Error("a trim to where nothing is any more:", err)
	}
	if at := f.land(1, eventstore.Message{Value: []byte("more")}); at != all[29].Offset+1 {
		f.Errorf("an append behind a trim landed at %d, want %d", at, all[29].Offset+1)
	}
}

// land appends records in one call and returns the offset of the first.
func (f *fixture) land(p int, records ...eventstore.Message) int64 {
	c := f.append(p, records...)
	if err := f.wait(c); err != nil {
		f.Fatal(err)
	}
	_, end, err := f.log.Bounds(f.ctx, p)
	if err != nil {
		f.Fatal(err)
	}
	return end - int64(len(records)) // an acknowledgement may name no offset
}

// markers writes what owners write, and folds it from the beginning and from a marker in the middle.
func markers(f *fixture) {
	var records []domain.Record
	stamp := domain.Stamp{Epoch: 7, Owner: domain.OwnerID{7}}
	add := func(e domain.Event, id domain.InvocationID, owner bool) {
		r := domain.Record{Type: e.Type(), Subject: id, At: 1000, Event: e}
		if owner {
			r.Stamp, r.ID = stamp, domain.OwnerRecordID(stamp.Owner, stamp.Seq)
			stamp.Seq++
		} else {
			r.ID = domain.RequestRecordID(id)
		}
		records = append(records, r)
	}
	id := domain.NewInvocationID(1000, 2, [8]byte{9})
	add(domain.PartitionOwned{LogTime: 900, Protocol: domain.Protocol, Node: "n", Group: "g"}, domain.InvocationID{}, true)
	add(domain.PartitionOwned{Renewal: true, LogTime: 1000, Protocol: domain.Protocol, Upto: 1, Chain: domain.Digest{1}}, domain.InvocationID{}, true)
	add(domain.InvocationRequested{ID: id, Function: domain.NativeFunction("f"), Version: "1", Limits: domain.DefaultLimits(), Code: domain.Digest{1}, Deadline: 5000}, id, false)
	add(domain.AttemptStarted{Attempt: 1, Seed: [16]byte{3}}, id, true)
	var ms []eventstore.Message
	for i := range records {
		m, err := eventstore.Encode("c", 2, &records[i])
		if err != nil {
			f.Fatal(err)
		}
		ms = append(ms, m)
	}
	first := f.land(2, ms...)
	for n, fold := range map[int64]*partition.Fold{0: partition.New(), 1: partition.At(first + 1)} {
		at := first + n
		for at < first+int64(len(ms)) {
			got, err := f.log.Read(f.ctx, 2, at, 10)
			if err != nil {
				f.Fatal(err)
			}
			for _, m := range got {
				r := eventstore.Decode(m)
				if v := fold.Apply(m.Offset, &r); !v.Effective() {
					f.Errorf("from record %d: offset %d, %s: %s", n, m.Offset, r.Type, v)
				}
				at = m.Offset + 1
			}
		}
		if e := fold.Get(id); e == nil || !e.Running() || fold.Owner() != (domain.Stamp{Epoch: 7, Owner: domain.OwnerID{7}, Seq: 2}) || fold.LogTime() != 1000 {
			f.Errorf("from record %d: %+v, owner %+v, log time %d", n, e, fold.Owner(), fold.LogTime())
		}
	}
}

// decodersAreTotal brings bytes that are nobody's through the log and decodes them.
func decodersAreTotal(f *fixture) {
	h := func(kv ...string) (out []eventstore.Header) {
		for i := 0; i < len(kv); i += 2 {
			out = append(out, eventstore.Header{Key: kv[i], Value: kv[i+1]})
		}
		return out
	}
	junk := []eventstore.Message{
		{},
		{Value: []byte("x")},
		{Key: []byte{0xff}, Value: []byte{0, 1, 2}},
		{Headers: h("ce_type", "deed.InvocationRequested.v1"), Value: []byte("{")},
		{Headers: h("ce_type", "deed.AttemptStarted.v1", "ce_ownerepoch", "-1", "ce_ownersequence", "99999999999999999999"), Value: []byte(`{"attempt":1e99}`)},
		{Headers: h("ce_type", "deed.PartitionOwned.v9", "ce_specversion", "1.0", "deed_must", "1"), Value: []byte("[]")},
	}
	first := f.land(0, junk...)
	for at := first; at < first+int64(len(junk)); {
		got, err := f.log.Read(f.ctx, 0, at, 10)
		if err != nil {
			f.Fatal(err)
		}
		for _, m := range got {
			if r := eventstore.Decode(m); r.Event != nil {
				f.Errorf("offset %d decodes as %s", m.Offset, r.Type)
			} else if lean := eventstore.DecodeLean(m); lean.Event != nil || lean.Must != r.Must {
				f.Errorf("offset %d decodes otherwise without payloads", m.Offset)
			}
			at = m.Offset + 1
		}
	}
}
