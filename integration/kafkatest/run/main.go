// Command run starts Apache Kafka on loopback, prints its brokers and stops it at the end of its standard input, at an
// interrupt, or when the command that it is given ends (which finds the brokers in DEED_TEST_BROKERS).
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"deed/integration/kafkatest"
)

func main() { os.Exit(run()) }

func run() int {
	nodes := flag.Int("nodes", 1, "1, or 3 with replication 3 and min.insync.replicas 2")
	dir := flag.String("dir", "", "keep the cluster's data here; a temporary directory by default")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	where := *dir
	if where == "" {
		tmp, err := os.MkdirTemp("", "deed-kafka-")
		if err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			return 1
		}
		defer func() { _ = os.RemoveAll(tmp) }()
		where = tmp
	}
	c, err := kafkatest.Start(ctx, kafkatest.Config{Dir: where, Nodes: *nodes})
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	defer c.Stop()
	brokers := strings.Join(c.Brokers(), ",")
	if flag.NArg() == 0 {
		fmt.Printf("Apache Kafka %s: %s\n", kafkatest.Version(), brokers)
		fmt.Fprintln(os.Stderr, "interrupt to stop")
		<-ctx.Done()
		return 0
	}
	cmd := exec.CommandContext(ctx, flag.Arg(0), flag.Args()[1:]...) //nolint:gosec // what the caller wants run
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "DEED_TEST_BROKERS="+brokers)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	return 0
}
