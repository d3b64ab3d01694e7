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

// TestDrained: when a subscription ends nothing is begun but what would leave a gap, and what was begun is waited for.
func TestDrained(t *testing.T) {
	inBubble(t, SubscriberConfig{Window: 2}, 1, func(b *bubble) {
		b.put(0, "a:0", "a:1", "b:2", "c:3")
		got := b.expect("0", "2")
		b.sub.leave()
		b.expect()
		got["2"].Ack()
		b.expect()
		select {
		case <-b.sub.ended:
			t.Fatal("the subscription ended with a message under way")
		default:
		}
		got["0"].Nack()
		time.Sleep(defaultNackDelay)
		b.expect("0")["0"].Ack()
		got = b.expect("1")
		if got["1"].Context().Err() != nil {
			t.Error("the context of a message ended while it is waited for")
		}
		got["1"].Ack()
		<-b.sub.ended
		if _, ok := <-b.sub.out; ok {
			t.Error("the channel is open")
		}
		b.committed(0, 3)
		b.subscribe(SubscriberConfig{})
		b.expect("3")["3"].Ack()
	})
}

// TestDrainIsBounded: a handler that does not answer is not waited for for ever; its message comes again.
func TestDrainIsBounded(t *testing.T) {
	inBubble(t, SubscriberConfig{Window: 2, DrainTimeout: 3 * time.Second}, 1, func(b *bubble) {
		b.put(0, "-:0", "-:1", "-:2")
		got := b.expect("0", "1")
		got["0"].Ack()
		b.expect("2")
		start := time.Now()
		b.sub.leave()
		<-b.sub.ended
		if took := time.Since(start); took != 3*time.Second { // the bubble's clock
			t.Errorf("ended after %s", took)
		}
		if got["1"].Context().Err() == nil {
			t.Error("the context of a message that was given up lives on")
		}
		got["1"].Ack() // too late
		b.committed(0, 1)
		b.subscribe(SubscriberConfig{})
		for _, m := range b.expect("1", "2") {
			m.Ack()
		}
	})
}

// TestSubscribersContext: when it ends, contexts end at once, nothing more is delivered, and an answer still counts.
func TestSubscribersContext(t *testing.T) {
	inBubble(t, SubscriberConfig{Window: 1}, 1, func(b *bubble) {
		b.put(0, "-:0", "-:1")
		m := b.expect("0")["0"]
		b.cancel()
		synctest.Wait()
		if m.Context().Err() == nil {
			t.Error("the context of a message outlives the subscriber's")
		}
		select {
		case <-b.sub.ended:
			t.Fatal("the subscription ended with a message under way")
		default:
		}
		m.Ack()
		<-b.sub.ended
		if _, ok := <-b.sub.out; ok {
			t.Error("something was delivered after the end of the context")
		}
		b.committed(0, 1)
	})
}

// TestRebalance: partitions go to a second member and come back, and each message is handled once.
func TestRebalance(t *testing.T) {
	inBubble(t, SubscriberConfig{Window: 2}, 4, func(b *bubble) {
		first := b.sub
		for p := range 4 {
			b.put(p, fmt.Sprintf("-:%d.0", p))
		}
		got := b.expect("0.0", "1.0", "2.0", "3.0")
		b.subscribe(SubscriberConfig{Window: 2})
		second := b.sub
		b.expect() // the first one has two to drain
		for _, m := range got {
			m.Ack()
		}
		synctest.Wait()
		for p := range 4 {
			b.put(p, fmt.Sprintf("-:%d.1", p))
		}
		mine := b.all()
		b.sub = first
		its := b.all()
		if len(mine) != 2 || len(its) != 2 {
			t.Errorf("%v and %v were delivered, want two each", keys(mine), keys(its))
		}
		for _, m := range mine {
			m.Ack()
		}
		for _, m := range its {
			m.Ack()
		}
		second.leave()
		<-second.ended
		for p := range 4 {
			b.committed(p, map[bool]int64{true: 2, false: -1}[mine[fmt.Sprintf("%d.1", p)] != nil]) // the first one's tick is to come
			b.put(p, fmt.Sprintf("-:%d.2", p))
		}
		for _, m := range b.expect("0.2", "1.2", "2.2", "3.2") {
			m.Ack()
		}
	})
}

// expelled is a membership that the group has put out without telling it.
type expelled struct{ eventstore.Membership }

func (expelled) Holds(context.Context, int) (bool, error) { return false, nil }
func (expelled) Commit(context.Context, int, eventstore.Position) error {
	return eventstore.ErrNotMember
}

// TestExpelled: who is not a member any more waits for nothing and delivers nothing.
func TestExpelled(t *testing.T) {
	inBubble(t, SubscriberConfig{}, 1, func(b *bubble) {
		b.sub.leave()
		<-b.sub.ended
		for name, end := range map[string]func(*message.Message){
			"asked when it is revoked": func(*message.Message) { b.sub.leave() },
			"told when it commits": func(m *message.Message) {
				m.Ack()
				time.Sleep(time.Second)
			},
		} {
			b.subscribeAs(SubscriberConfig{Window: 2}, expelled{b.group.Membership()})
			b.put(0, "k:0", "k:1", "-:2", "-:3")
			got := b.expect("0", "2")
			start := time.Now()
			end(got["0"])
			synctest.Wait()
			for _, m := range got {
				if m.Context().Err() == nil {
					t.Errorf("%s: the context of a message lives on", name)
				}
			}
			b.all()
			b.put(0, "-:late")
			b.expect()
			b.sub.leave()
			<-b.sub.ended
			if took := time.Since(start); took > time.Second {
				t.Errorf("%s: ended after %s", name, took)
			}
		}
	})
}

// TestNoPosition: a position that is not in the log is not replaced by another.
func TestNoPosition(t *testing.T) {
	inBubble(t, SubscriberConfig{}, 1, func(b *bubble) {
		b.put(0, "-:0")
		b.expect("0")["0"].Ack()
		b.sub.leave()
		<-b.sub.ended
		m := b.group.Membership()
		ctx, cancel := context.WithCancel(b.Context())
		left := make(chan error)
		go func() { left <- m.Run(ctx, func(int) {}, func(int) {}) }()
		synctest.Wait()
		if err := m.Commit(ctx, 0, eventstore.Position{Offset: 3}); err != nil {
			t.Fatal(err)
		}
		cancel()
		<-left
		b.subscribe(SubscriberConfig{})
		b.put(0, "-:1")
		b.expect()
		time.Sleep(againAfter)
		b.expect()
		b.put(0, "-:2", "-:3")
		time.Sleep(againAfter)
		b.expect("3")["3"].Ack()
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
