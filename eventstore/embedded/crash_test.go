package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"deed/eventstore"
	"deed/eventstore/embedded"
	"deed/eventstore/kafka"
)

const (
	childEnv   = "DEED_TEST_BROKER_DIR"
	roundEnv   = "DEED_TEST_ROUND"
	modeEnv    = "DEED_TEST_DURABILITY"
	partitions = 4
	acksBefore = 4000 // a kill comes after so many acknowledgements
	rounds     = 3
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := child(dir, os.Getenv(roundEnv)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child is a process that appends to its own broker, with many appends on the way, and writes a line for each one that
// was acknowledged, until it is killed. It owns all partitions, as a node does.
func child(dir, round string) error {
	durability := embedded.Fsync
	if os.Getenv(modeEnv) == fmt.Sprint(embedded.Process) {
		durability = embedded.Process
	}
	l, c, err := openLog(context.Background(), embedded.Config{Dir: dir, Durability: durability})
	if err != nil {
		return err
	}
	assigned := make(chan int, partitions)
	go func() {
		_ = c.Membership("owners", "t").Run(context.Background(), func(p int) { assigned <- p }, func(int) {})
	}()
	for range partitions {
		<-assigned
	}
	window := make(chan struct{}, 256)
	for i := 0; ; i++ {
		window <- struct{}{}
		p, value := i%partitions, fmt.Sprintf("%s-%d", round, i)
		l.Append(p, []eventstore.Message{{Key: []byte("k"), Value: []byte(value)}}, func(offset int64, err error) {
			<-window
			if err == nil {
				fmt.Fprintf(os.Stdout, "%d %d %s\n", p, offset, value) // one write
			}
		})
	}
}

func openLog(ctx context.Context, config embedded.Config) (*kafka.Log, *kafka.Cluster, error) {
	b, err := embedded.Open(config)
	if err != nil {
		return nil, nil, err
	}
	c, err := kafka.Open(ctx, kafka.Config{Brokers: []string{b.Addr()}, Producers: partitions, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, errors.Join(err, b.Close())
	}
	if err := c.EnsureTopic(ctx, "t", partitions); err != nil {
		return nil, nil, errors.Join(err, c.Close(), b.Close())
	}
	l, err := c.Log("t")
	return l, c, err
}

type place struct {
	partition int
	offset    int64
}

// TestKill: what was acknowledged is there after kill -9, at its offset, and the next process owns everything at once.
func TestKill(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) { testKill(t, mode.durability) })
	}
}

func testKill(t *testing.T, d embedded.Durability) {
	dir := t.TempDir()
	acked := map[place]string{}
	for round := range rounds {
		n := run(t, dir, round, d, acked)
		t.Logf("round %d: killed after %d acknowledgements", round, n)
	}
	start := time.Now()
	b := open(t, embedded.Config{Dir: dir, Durability: d})
	t.Logf("opened after the last kill in %s", time.Since(start))
	start = time.Now()
	c, err := kafka.Open(t.Context(), kafka.Config{Brokers: []string{b.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	assigned := make(chan int, partitions)
	ctx, leave := context.WithCancel(t.Context())
	var left sync.WaitGroup
	left.Go(func() {
		if err := c.Membership("owners", "t").Run(ctx, func(p int) { assigned <- p }, func(int) {}); err != nil {
			t.Error(err)
		}
	})
	for range partitions {
		<-assigned
	}
	t.Logf("owned everything after %s", time.Since(start))
	leave()
	left.Wait()
	l, err := c.Log("t")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	found := 0
	for p := range partitions {
		_, end, err := l.Bounds(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if end == 0 {
			continue
		}
		enough := errors.New("enough")
		err = l.Follow(t.Context(), p, 0, func(batch []eventstore.Message) error {
			for _, m := range batch {
				if want, ok := acked[place{p, m.Offset}]; ok {
					found++
					if string(m.Value) != want {
						t.Errorf("%d/%d is %q, %q was acknowledged", p, m.Offset, m.Value, want)
					}
				}
			}
			if batch[len(batch)-1].Offset+1 >= end {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) {
			t.Fatal(err)
		}
	}
	if found != len(acked) {
		t.Errorf("%d of %d acknowledged records are there", found, len(acked))
	}
}

// run starts a child, kills it after some acknowledgements, and takes note of all that it received.
func run(t *testing.T, dir string, round int, d embedded.Durability, acked map[place]string) int {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childEnv+"="+dir, fmt.Sprintf("%s=%d", roundEnv, round), fmt.Sprintf("%s=%d", modeEnv, d))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n := 0
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // what has no end of line was not written whole
		}
		var at place
		var value string
		if _, err := fmt.Sscanf(line, "%d %d %s", &at.partition, &at.offset, &value); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if at.offset >= 0 {
			acked[at] = value
		}
		if n++; n == acksBefore {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); n < acksBefore {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return n
}
