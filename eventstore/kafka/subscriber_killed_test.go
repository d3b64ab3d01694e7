package kafka_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"deed/eventstore/kafka"
)

const (
	killedRecords = 100
	unanswered    = 5 // the offset that the child of TestSubscriberKilled does not answer
)

// unanswering is the child of TestSubscriberKilled: it acknowledges everything but one record and says what is committed.
func unanswering(addrs []string, topic string) error {
	c, err := kafka.Open(context.Background(), kafka.Config{Brokers: addrs, Log: quiet()})
	if err != nil {
		return err
	}
	s, err := kafka.NewSubscriber(c, kafka.SubscriberConfig{Group: topic + ".group", Window: 8, CommitEvery: time.Millisecond})
	if err != nil {
		return err
	}
	in, err := s.Subscribe(context.Background(), topic)
	if err != nil {
		return err
	}
	for range killedRecords - 1 {
		msg := <-in
		if r, _ := kafka.RecordOf(msg.Context()); r.Offset == unanswered {
			msg = <-in
		}
		msg.Ack()
	}
	member := c.Membership(topic+".group", topic)
	for {
		at, err := member.Committed(context.Background(), 0)
		if err != nil {
			return err
		}
		if at.Offset >= 0 {
			fmt.Println(at.Offset)
		}
		if at.Offset >= unanswered {
			select {}
		}
	}
}

// TestSubscriberKilled: after a kill everything from the low-water mark on comes again, and nothing below it.
func TestSubscriberKilled(t *testing.T) {
	t.Parallel() // it waits until a member is missed
	addrs, topic := brokers(t), newTopic()
	c := connect(t, kafka.Config{Brokers: addrs})
	l := open(t, c, topic, 1)
	for i := range killedRecords {
		appendAll(t, l, 0, fmt.Sprint(i))
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), exe)
	child.Env = append(os.Environ(), brokersEnv+"="+strings.Join(addrs, ","), topicEnv+"="+topic)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); ; {
		if !lines.Scan() {
			t.Fatal("the child ended by itself")
		}
		if at, err := strconv.Atoi(lines.Text()); err != nil || at > unanswered {
			t.Fatalf("%q is committed", lines.Text())
		} else if at == unanswered {
			break
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // was killed
	at, err := c.Membership(topic+".group", topic).Committed(t.Context(), 0)
	if err != nil || at.Offset != unanswered {
		t.Fatalf("%+v is committed, %v, want %d", at, err, unanswered)
	}
	_, in := subscribe(t, c, topic, kafka.SubscriberConfig{Window: 1})
	for offset := at.Offset; offset < killedRecords; offset++ {
		m := <-in
		if _, got := place(t, m); got != offset {
			t.Fatalf("got %d, want %d", got, offset)
		}
		m.Ack()
	}
}

const (
	brokersEnv = "DEED_TEST_SUBSCRIBER_BROKERS" // set in the child of TestSubscriberKilled
	topicEnv   = "DEED_TEST_SUBSCRIBER_TOPIC"
)

func TestMain(m *testing.M) {
	if os.Getenv(brokersEnv) != "" {
		if err := unanswering(strings.Split(os.Getenv(brokersEnv), ","), os.Getenv(topicEnv)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}
