package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"deed/eventstore"
	"deed/eventstore/memory"

	"github.com/ThreeDotsLabs/watermill/message"
)

// bubble is a subscription to a log in memory, in a bubble whose clock stands still while anything can happen.
type bubble struct {
	*testing.T
	log    *memory.Log
	group  *memory.Group
	sub    *subscription
	cancel context.CancelFunc // ends the subscriber's context
}

func inBubble(t *testing.T, c SubscriberConfig, partitions int, test func(*bubble)) {
	synctest.Test(t, func(t *testing.T) {
		l := memory.New(partitions)
		b := &bubble{T: t, log: l, group: memory.NewGroup(l)}
		b.subscribe(c)
		test(b)
		b.sub.leave()
		<-b.sub.ended
		_ = l.Close()
	})
}

func (b *bubble) subscribe(c SubscriberConfig) {
	b.Helper()
	b.subscribeAs(c, b.group.Membership())
}

func (b *bubble) subscribeAs(c SubscriberConfig, m eventstore.Membership) {
	b.Helper()
	c.Group = "g"
	c, err := c.check()
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	b.cancel = cancel
	sub := newSubscription(ctx, c, b.log, m, slog.New(slog.DiscardHandler))
	go func() {
		sub.run()
		close(sub.ended)
	}()
	b.sub = sub
}

// put appends records "key:value"; a key of "-" is none.
func (b *bubble) put(partition int, records ...string) {
	for _, r := range records {
		k, v, _ := strings.Cut(r, ":")
		m := eventstore.Message{Value: []byte(v)}
		if k != "-" {
			m.Key = []byte(k)
		}
		b.log.Append(partition, []eventstore.Message{m}, func(int64, error) {})
	}
}

// all receives what can be received now, by value.
func (b *bubble) all() map[string]*message.Message {
	got := map[string]*message.Message{}
	for {
		synctest.Wait()
		select {
		case m, ok := <-b.sub.out:
			if !ok {
				return got
			}
			if got[string(m.Payload)] != nil {
				b.Errorf("%s was delivered twice", m.Payload)
			}
			got[string(m.Payload)] = m
		default:
			return got
		}
	}
}

// expect receives these values now, and nothing else.
func (b *bubble) expect(values ...string) map[string]*message.Message {
	b.Helper()
	got := b.all()
	for _, v := range values {
		if got[v] == nil {
			b.Errorf("%s was not delivered", v)
			got[v] = message.NewMessage("", nil)
		}
	}
	if len(got) != len(values) {
		b.Fatalf("got %v, want %v", keys(got), values)
	}
	return got
}

func keys(m map[string]*message.Message) (all []string) {
	for k := range m {
		all = append(all, k)
	}
	return all
}

func (b *bubble) committed(partition int, want int64) {
	b.Helper()
	synctest.Wait()
	if at, err := b.group.Membership().Committed(b.Context(), partition); err != nil || at.Offset != want {
		b.Errorf("%d is committed, %v, want %d", at.Offset, err, want)
	}
}

// TestWindowOrder: messages of a key come one after another, all others at once, as many as the window has room for.
func TestWindowOrder(t *testing.T) {
	inBubble(t, SubscriberConfig{Window: 4}, 1, func(b *bubble) {
		b.put(0, "a:a1", "a:a2", "b:b1", "a:a3", "c:c1", "-:n1", "-:n2")
		first := b.expect("a1", "b1", "c1", "n1")
		first["b1"].Ack()
		b.expect("n2")["n2"].Ack()
		b.expect()
		first["a1"].Ack()
		b.expect("a2")["a2"].Ack()
		b.expect("a3")["a3"].Ack()
		b.put(0, "a:a4", "b:b2")
		second := b.expect("a4", "b2")
		for _, m := range []*message.Message{first["c1"], first["n1"], second["a4"], second["b2"]} {
			m.Ack()
		}
		b.expect()
	})
}

// TestWindowOfOne is the order of the partition.
func TestWindowOfOne(t *testing.T) {
	inBubble(t, SubscriberConfig{Window: 1}, 1, func(b *bubble) {
		for i := range 20 {
			b.put(0, fmt.Sprintf("k%d:%d", i%3, i))
		}
		for i := range 20 {
			v := fmt.Sprint(i)
			b.expect(v)[v].Ack()
		}
	})
}

// TestSlowPartition: a partition that nobody answers holds up nothing but itself.
func TestSlowPartition(t *testing.T) {
	inBubble(t, SubscriberConfig{Window: 2, Span: 2, DrainTimeout: time.Second}, 3, func(b *bubble) {
		for i := range 100 {
			b.put(0, fmt.Sprint("-:slow", i))
		}
		b.expect("slow0", "slow1")
		for i := range 100 {
			b.put(1+i%2, fmt.Sprint("-:", i))
			v := fmt.Sprint(i)
			b.expect(v)[v].Ack()
		}
	})
}

// TestRefusal: a refused message comes again after a while, before those behind it and without holding up others.
func TestRefusal(t *testing.T) {
	inBubble(t, SubscriberConfig{Window: 1, NackDelay: time.Minute}, 1, func(b *bubble) {
		b.put(0, "a:a1", "a:a2", "b:b1")
		m := b.expect("a1")["a1"]
		m.Nack()
		synctest.Wait()
		if m.Context().Err() == nil {
			t.Error("the context of a refused message lives on")
		}
		b.expect("b1")["b1"].Ack()
		b.expect()
		time.Sleep(time.Minute - time.Nanosecond)
		b.expect()
		time.Sleep(time.Nanosecond)
		again := b.expect("a1")["a1"]
		if again == m {
			t.Error("the same message came again: it cannot be answered twice")
		}
		again.Ack()
		b.expect("a2")["a2"].Ack()
		time.Sleep(time.Second)
		b.committed(0, 3)
	})
}

// TestLowWaterMark: only what has nothing unanswered before it is committed, and the span is not exceeded.
func TestLowWaterMark(t *testing.T) {
	inBubble(t, SubscriberConfig{Window: 4, Span: 4}, 1, func(b *bubble) {
		for i := range 8 {
			b.put(0, fmt.Sprint("-:", i))
		}
		got := b.expect("0", "1", "2", "3")
		for _, v := range []string{"1", "2", "3"} {
			got[v].Ack()
		}
		b.expect() // the span is full
		time.Sleep(time.Second)
		b.committed(0, -1)
		got["0"].Ack()
		got = b.expect("4", "5", "6", "7")
		time.Sleep(time.Second)
		b.committed(0, 4)
		got["4"].Ack()
		got["6"].Ack()
		time.Sleep(time.Second)
		b.committed(0, 5)
		for _, v := range []string{"5", "7"} {
			got[v].Ack()
		}
	})
}

// TestSubscriberConfig: what cannot be meant is refused.
func TestSubscriberConfig(t *testing.T) {
	for _, c := range []SubscriberConfig{
		{}, {Group: "g", Window: -1}, {Group: "g", Window: 10, Span: 9}, {Group: "g", DrainTimeout: time.Minute}, {Group: "g", NackDelay: -1}, {Group: "g", CommitEvery: -1},
	} {
		if _, err := NewSubscriber(nil, c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
	if c, err := (SubscriberConfig{Group: "g", Window: 1000}).check(); err != nil || c.Span != 64000 || c.DrainTimeout != 10*time.Second {
		t.Errorf("%+v, %v", c, err)
	}
	if _, ok := RecordOf(context.Background()); ok {
		t.Error("a context of nothing has a record")
	}
}
