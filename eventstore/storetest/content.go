package storetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"

	"deed/eventstore"
)

func exactBytes(f *fixture) {
	var every [256]byte
	for i := range every {
		every[i] = byte(i)
	}
	at := time.UnixMilli(1_700_000_000_456)
	want := func() []eventstore.Message { // anew, for the log owns what it is given
		return []eventstore.Message{
			{Time: at, Key: []byte("k"), Value: []byte("v")},
			{Time: at, Key: []byte("empty value"), Value: []byte{}},
			{Time: at, Key: []byte("no value")},
			{Time: at, Key: []byte{}, Value: []byte("empty key")},
			{Time: at, Value: []byte("no key")},
			{Time: at, Key: bytes.Clone(every[:]), Value: bytes.Clone(every[:])},
			{Time: at, Key: []byte{0xff}, Value: []byte{0xc3, 0x28, 0}, Headers: []eventstore.Header{
				{Key: "b", Value: "2"},
				{Key: "a", Value: "1"},
				{Key: "b", Value: "1"},
				{Key: "b", Value: "2"},
				{Key: "empty"},
				{Key: "", Value: "no key"},
				{Key: "every", Value: string(every[:])},
				{Key: "ü", Value: "ü\xff\x00"},
			}},
			{Time: at.Add(-time.Hour), Key: []byte("earlier"), Value: []byte("time need not grow"), Headers: []eventstore.Header{{Key: "x", Value: "y"}}},
		}
	}
	c := f.append(0, want()...)
	if err := f.wait(c); err != nil {
		f.Fatal(err)
	}
	followed, err := f.collect(0, 0, len(want()))
	if err != nil {
		f.Fatal(err)
	}
	if err := sameContent(followed, want()); err != nil {
		f.Error("follow:", err)
	}
	got, err := f.readAll(0, 0, 3)
	if err != nil {
		f.Fatal(err)
	}
	if err := sameContent(got, want()); err != nil {
		f.Error("read:", err)
	}
}

func bigRecords(f *fixture) {
	const n = 6
	want := func() []eventstore.Message {
		noise := rand.NewChaCha8([32]byte{1}) // does not compress
		out := make([]eventstore.Message, n)
		for i := range out {
			out[i] = record("")
			out[i].Value = make([]byte, bigRecord)
			_, _ = noise.Read(out[i].Value)
		}
		return out
	}
	records := want()
	for _, c := range []*call{f.append(0, records[:3:3]...), f.append(0, records[3]), f.append(0, records[4:]...)} {
		if err := f.wait(c); err != nil {
			f.Fatal(err)
		}
	}
	followed, err := f.collect(0, 0, n)
	if err != nil {
		f.Fatal(err)
	}
	if err := sameContent(followed, want()); err != nil {
		f.Error("follow:", err)
	}
	got, err := f.readAll(0, followed[1].Offset, 2)
	if err != nil {
		f.Fatal(err)
	}
	if err := sameContent(got, want()[1:]); err != nil {
		f.Error("read:", err)
	}
}

// same compares records with where they stand.
func same(got, want []eventstore.Message) error {
	if err := sameContent(got, want); err != nil {
		return err
	}
	for i := range got {
		if got[i].Partition != want[i].Partition || got[i].Offset != want[i].Offset {
			return fmt.Errorf("record %d is %d/%d, want %d/%d", i, got[i].Partition, got[i].Offset, want[i].Partition, want[i].Offset)
		}
	}
	return nil
}

// sameContent compares records without where they stand.
func sameContent(got, want []eventstore.Message) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d records, want %d", len(got), len(want))
	}
	for i, g := range got {
		w := want[i]
		switch {
		case !bytes.Equal(g.Key, w.Key):
			return fmt.Errorf("record %d: key %.40q, want %.40q", i, g.Key, w.Key)
		case !bytes.Equal(g.Value, w.Value):
			return fmt.Errorf("record %d: value of %d bytes %.40q, want %d bytes %.40q", i, len(g.Value), g.Value, len(w.Value), w.Value)
		case !g.ByBroker && !g.Time.Truncate(time.Millisecond).Equal(w.Time.Truncate(time.Millisecond)):
			return fmt.Errorf("record %d: time %s, want %s", i, g.Time, w.Time)
		case len(g.Headers) != len(w.Headers):
			return fmt.Errorf("record %d: %d headers, want %d", i, len(g.Headers), len(w.Headers))
		}
		for j := range g.Headers {
			if g.Headers[j] != w.Headers[j] {
				return fmt.Errorf("record %d, header %d: %q, want %q", i, j, g.Headers[j], w.Headers[j])
			}
		}
	}
	return nil
}
