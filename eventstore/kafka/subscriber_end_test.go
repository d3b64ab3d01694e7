package kafka

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"deed/eventstore"

	"github.com/ThreeDotsLabs/watermill/message"
)

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
