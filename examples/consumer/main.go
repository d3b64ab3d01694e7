// Consumer is a program of your own beside Deed: it follows the log in a consumer group, with Watermill's Router, and
// writes a line for every invocation that came to its end. Copy it and put your work in place of the line.
//
//	go run ./examples/consumer --brokers 127.0.0.1:9092
//
// It sees records one by one, at least once: after a crash some come again, with the same ce_id. It does not fold the
// log, so it cannot tell a record that counts from one that is void (docs/events.md says when records are): what must be
// true has to be asked of Deed, by the invocation's id.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"deed/eventstore"
	"deed/eventstore/kafka"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
)

func main() {
	brokers := flag.String("brokers", "127.0.0.1:9092", "brokers, host:port, separated by commas")
	topic := flag.String("topic", eventstore.Topics{}.Invocations(), "topic to follow")
	group := flag.String("group", "example-consumer", "consumer group: several of these with one name share the work")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, strings.Split(*brokers, ","), *topic, *group, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "consumer:", err)
		os.Exit(1)
	}
}

// run consumes until ctx ends; then it lets the messages that are under way end, for 20 s at most.
func run(ctx context.Context, brokers []string, topic, group string, out io.Writer) (err error) {
	cluster, err := kafka.Open(ctx, kafka.Config{Brokers: brokers, ClientID: "example-consumer"})
	if err != nil {
		return err
	}
	defer func() { _ = cluster.Close() }()
	// Sixteen messages of a partition at a time. Those of one invocation have its id as their key, and come in order.
	subscriber, err := kafka.NewSubscriber(cluster, kafka.SubscriberConfig{Group: group, Window: 16})
	if err != nil {
		return err
	}
	logger := watermill.NewSlogLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 20 * time.Second}, logger)
	if err != nil {
		return err
	}
	ends := &ends{out: json.NewEncoder(out)}
	router.AddConsumerHandler("ends", topic, subscriber, ends.handle)
	context.AfterFunc(ctx, func() { _ = router.Close() }) // and not Run's context: it would end those of the messages at once
	return router.Run(context.WithoutCancel(ctx))
}

// ends writes the ends of invocations.
type ends struct {
	mu  sync.Mutex // handlers run at the same time
	out *json.Encoder
}

// line is what is written. The headers of a record are the metadata of its message.
type line struct {
	Invocation string `json:"invocation"`
	Event      string `json:"event"`
	Time       string `json:"time"`
	Partition  int    `json:"partition"`
	Offset     int64  `json:"offset"`
}

// handle is called for every record. An error, or a panic, has the message delivered again a moment later.
func (e *ends) handle(m *message.Message) error {
	switch m.Metadata["ce_type"] {
	case eventstore.TypeName("InvocationSucceeded"), eventstore.TypeName("InvocationFailed"), eventstore.TypeName("InvocationDiscarded"):
	default:
		return nil
	}
	record, _ := kafka.RecordOf(m.Context())
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.out.Encode(line{m.Metadata["ce_subject"], m.Metadata["ce_type"], m.Metadata["ce_time"], record.Partition, record.Offset})
}
