package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"deed/cmd/internal/door"
	"deed/cmd/internal/reconcile"
	"deed/cmd/internal/redrive"
	"deed/domain"
	"deed/eventstore"
	"deed/projections"
	"deed/projections/functions"
	"deed/projections/invocations"
	"deed/projections/notify"
	"deed/projections/operations"
	"deed/projections/poison"
	"deed/projections/retry"
	"deed/runtime/sink/object"
	"deed/runtime/sink/stream"
	"deed/runtime/worker"
)

// begin opens the topics, folds the registry, and starts a tail and an owner for each partition.
func (n *Node) begin(ctx context.Context) error {
	topics := n.topics()
	if err := n.cluster.EnsureTopic(ctx, topics.Invocations(), n.config.Partitions); err != nil {
		return err
	}
	if n.config.growTo > 0 {
		if err := n.cluster.GrowTopic(ctx, topics.Invocations(), n.config.growTo); err != nil {
			return err
		}
	}
	if err := n.cluster.EnsureTopic(ctx, topics.Functions(), 1); err != nil {
		return err
	}
	if err := n.cluster.EnsureTopic(ctx, topics.Operations(), 1); err != nil {
		return err
	}
	if err := n.examine(ctx, topics.Invocations(), topics.Functions(), topics.Operations()); err != nil {
		return err
	}
	doors, err := n.openLog(topics.Invocations())
	if err != nil {
		return err
	}
	if err := n.cluster.EnsureTopic(ctx, topics.Notifications(), doors.Partitions()); err != nil {
		return err
	}
	owners, err := n.openLog(topics.Invocations())
	if err != nil {
		return err
	}
	registry, err := n.openLog(topics.Functions())
	if err != nil {
		return err
	}
	if n.notices, err = n.openLog(topics.Notifications()); err != nil {
		return err
	}
	operating, err := n.openLog(topics.Operations())
	if err != nil {
		return err
	}
	n.Registry, n.Model, n.Operations = functions.New(), invocations.New(doors.Partitions()), operations.New()
	n.poison, n.metrics = poison.New(topics.Invocations(), n.config.Logger), newMetrics()
	n.Door = &door.Door{
		Log: n.metrics.timed(doors), Functions: registry, Registry: n.Registry, Model: n.Model, OperationsLog: operating, Operations: n.Operations, Blobs: n.blobs, Modules: checker{n.host},
		Slots: n.nextSlot, Now: n.now, Random: random, MaxOpen: n.config.MaxOpen, Clock: n.clockTrouble, Skewed: n.skewed, BrokerTime: n.brokerTime,
		Target: n.checkTarget,
	}
	n.runs = worker.NewPool(n.config.Concurrency, n.config.FunctionConcurrency, forAttempts(n.config.Memory))
	if err := n.follow(ctx, topics.Functions(), registry, func(offset int64, r domain.Record) error {
		err := n.Registry.Apply(offset, r)
		if err == nil {
			n.changed(r.Event)
		}
		return err
	}); err != nil {
		return err
	}
	if err := n.follow(ctx, topics.Operations(), operating, n.Operations.Apply); err != nil {
		return err
	}
	if err := n.openKeyring(); err != nil {
		return err
	}
	if err := n.Door.Form(ctx); err != nil {
		return fmt.Errorf("name the cluster: %w", err)
	}
	// A store is taken into use only by a cluster that has nothing in one yet: else an empty directory, such as that of a share
	// that is not mounted, would be taken for the cluster's, and nothing that is in the right one would be found.
	belong := n.blobs.Check
	if !n.Registry.Used() {
		belong = n.blobs.Belong
	}
	if err := belong(ctx, n.Registry.Cluster().String()); err != nil {
		return fmt.Errorf("blob store %s: %w", n.config.Blob, err)
	}
	if n.keys != nil {
		if err := n.keys.Belong(ctx, n.Registry.Cluster().String()); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(n.config.Data, "keys.db"), err)
		}
		n.Door.Keys = n.keys
	}
	n.readers.Go(n.watchBlobs)
	n.readers.Go(n.watchBrokers)
	n.readers.Go(n.tuneMemory)
	n.group = n.cluster.Membership(topics.OwnersGroup(), topics.Invocations())
	host, _ := os.Hostname()
	n.deps = &worker.Deps{
		Log: n.metrics.timed(owners), Retry: retry.Projection{}, Notify: notify.Projection{}, Engine: n.engine, Blobs: n.blobs,
		Sinks: sinks{objects: faulty(&object.Sink{Open: n.bucket}), streams: &stream.Sink{Cluster: n.Registry.Cluster().String(), Open: n.streams.open}}, Funcs: targets{n.Door, n}, Place: n.group,
		Runs: n.runs, Tells: worker.NewPool(64, 16, 0),
		Cluster: n.Registry.Cluster().String(), Group: topics.OwnersGroup(), Node: fmt.Sprintf("%s/%d", host, os.Getpid()),
		Now: n.now, Random: random, Logger: n.config.Logger, Upkeep: upkeep(n.config.Upkeep),
		Alarm: n.alarm, Skewed: n.skewed, Acts: n.acting, Point: point, Seen: n.metrics.seen,
	}
	n.Redriver = &redrive.Redriver{Door: n.Door, Rows: n.Model, Model: n.Operations, Sink: n.deps.Sinks, Logger: n.config.Logger}
	n.Reconciler = &reconcile.Reconciler{Door: n.Door, Registry: n.Registry, Rows: n.Model, Operations: n.Operations, Places: places{n}}
	if err := n.grow(ctx); err != nil {
		return err
	}
	if err := n.catchUp(ctx, doors); err != nil {
		return err
	}
	for p := range doors.Partitions() {
		if ahead := n.clock.atLeast(n.Model.LogTime(p).Time()); ahead > time.Second {
			n.config.Logger.Warn("the machine's clock is behind the log's time; the node goes by the log's", "behind", ahead)
		}
	}
	n.readers.Go(n.watchGrowth)
	if n.config.retain > 0 {
		n.readers.Go(n.watchTrim)
	}
	n.metrics.watch(n)
	return nil
}

// follow folds a topic of one partition up to its end as it is now, and goes on behind it. apply says why a record has no
// effect.
func (n *Node) follow(ctx context.Context, topic string, log eventstore.Log, apply func(offset int64, r domain.Record) error) error {
	_, end, err := log.Bounds(ctx, 0)
	if err != nil {
		return err
	}
	reached := make(chan struct{})
	var once sync.Once
	if end == 0 {
		once.Do(func() { close(reached) })
	}
	n.goRead(func() error {
		return log.Follow(n.run, 0, 0, func(batch []eventstore.Message) error {
			for _, m := range batch {
				r := eventstore.Decode(m)
				if r.Must && r.Event == nil {
					return fmt.Errorf("%s, offset %d: %s: %w", topic, m.Offset, r.Type, projections.ErrStopped)
				}
				if r.Event == nil {
					n.poison.Note(topic, m, r)
				}
				if err := apply(m.Offset, r); err != nil {
					n.config.Logger.Debug("a record without effect", "topic", topic, "offset", m.Offset, "type", r.Type, "reason", err)
				}
				if m.Offset+1 >= end {
					once.Do(func() { close(reached) })
				}
			}
			return nil
		})
	})
	select {
	case <-reached:
		return nil
	case err := <-n.failed:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
