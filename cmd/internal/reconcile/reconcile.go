// Package reconcile compares three accounts of notifications: what outcomes owed, what the receipts in the log say, and what
// the places hold that were to be told. It changes nothing.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"deed/cmd/internal/door"
	"deed/domain"
	"deed/eventstore"
	"deed/projections/functions"
	"deed/projections/invocations"
	"deed/projections/operations"
)

// Bucket is what an object store holds.
type Bucket interface {
	Read(ctx context.Context, key string) ([]byte, error)
	List(ctx context.Context, prefix string, fn func(key string, size int64) error) error
}

// Topic is a Kafka topic, to be read.
type Topic interface {
	Partitions() int
	Bounds(ctx context.Context, partition int) (start, end int64, err error)
	OffsetAt(ctx context.Context, partition int, t time.Time) (int64, error)
	Read(ctx context.Context, partition int, from int64, limit int) ([]eventstore.Message, error)
	Close() error
}

// Places are where notifications are told.
type Places interface {
	Bucket(ctx context.Context, owes domain.FunctionID, name string) (Bucket, error)
	Topic(ctx context.Context, owes domain.FunctionID, target domain.Target) (Topic, error)
	Absent(err error) bool // of a bucket: there is no such object
}

// Reconciler compares. All fields are required.
type Reconciler struct {
	Door       *door.Door
	Registry   *functions.Registry
	Rows       *invocations.Model
	Operations *operations.Model
	Places     Places
}

// Selection says whose notifications are compared: those of invocations of a project that have ended.
type Selection struct {
	Project      string
	Function     domain.FunctionID // zero: all of the project
	Since, Until domain.Instant    // of acceptance, both inclusive; 0: open
}

// Finding is one that does not agree.
type Finding struct {
	Invocation domain.InvocationID
	Target     domain.Target
	What       Difference
	Where      string // the place, as a person finds it
	Words      string
}

// Difference is how accounts disagree.
type Difference string

// The differences.
const (
	Missing   Difference = "missing"   // there is a receipt, and nothing in the place
	Different Difference = "different" // something else is in the place
	Extra     Difference = "extra"     // it is in the place, and no outcome owes it
	Unreached Difference = "unreached" // the place could not be asked
)

// Report is the result.
type Report struct {
	Ended       int // invocations
	Untold      int // of them owe nobody anything
	Owed        int
	Pending     int // are owed, and not told yet
	Delivered   int
	Abandoned   int
	Redelivered int // after they had been abandoned
	Verified    int // of those delivered, or delivered again, the place holds exactly the record
	Doubled     int // messages that stand in a topic more than once: the same, and told apart by their id
	Findings    []Finding
	More        int                 // findings that are not listed
	Uncovered   []domain.FunctionID // functions whose failures nobody is told of
	Older       bool                // the read model has dropped some that were selected
}

// Agrees reports whether there is no difference.
func (r *Report) Agrees() bool { return len(r.Findings) == 0 }

// Bounds of a report.
const (
	maxFindings = 1000
	atOnce      = 16
)

// account is a notification that should be somewhere.
type account struct {
	invocation domain.Invocation
	place      string // that it was delivered again to; "" for the first receipt
}

// run is one comparison under way.
type run struct {
	*Reconciler
	Selection

	mu     sync.Mutex
	report Report
}

// Run compares.
func (r *Reconciler) Run(ctx context.Context, s Selection) (Report, error) {
	c := &run{Reconciler: r, Selection: s}
	told := c.accounts()
	c.uncovered()
	byTarget := map[domain.Target][]account{}
	for _, a := range told {
		target := a.invocation.Notified.Sink
		if _, ok := target.Stream(); ok {
			byTarget[target] = append(byTarget[target], a)
		} else if _, ok := target.Topic(); ok {
			byTarget[target] = append(byTarget[target], a)
		}
	}
	if err := c.each(ctx, told, c.verify); err != nil {
		return c.report, err
	}
	for target, accounts := range byTarget {
		if err := c.topic(ctx, target, accounts); err != nil {
			return c.report, err
		}
	}
	err := c.objects(ctx, told)
	return c.report, err
}

// accounts counts what the log says, and gives what should be in its place.
func (c *run) accounts() (told []account) {
	want := invocations.Selection{Project: c.Project, Function: c.Function, Since: c.Since, Until: c.Until, Sync: true}
	c.report.Older = c.Rows.Each(want, func(i domain.Invocation) bool {
		if i.Outcome == domain.Open {
			return true
		}
		c.report.Ended++
		if i.Owes() == "" {
			c.report.Untold++
			return true
		}
		c.report.Owed++
		place, again := c.Operations.Retold(i.ID)
		switch {
		case again:
			c.report.Abandoned++
			c.report.Redelivered++
			told = append(told, account{i, place})
		case i.Notified.Abandoned:
			c.report.Abandoned++
		case i.Notified.Settled:
			c.report.Delivered++
			told = append(told, account{i, ""})
		default:
			c.report.Pending++
		}
		return true
	})
	return told
}

// uncovered finds the functions whose failures nobody is told of.
func (c *run) uncovered() {
	for _, f := range c.Registry.List(c.Project) {
		if c.Function != (domain.FunctionID{}) && (f.ID.Package != c.Function.Package || f.ID.Name != c.Function.Name) {
			continue
		}
		if f.Policy().OnFailure == "" {
			c.report.Uncovered = append(c.report.Uncovered, f.ID)
		}
	}
}

// each calls fn for all, some at once; the first error ends it.
func (c *run) each(ctx context.Context, all []account, fn func(context.Context, account) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	places := make(chan struct{}, atOnce)
	var under sync.WaitGroup
	for _, a := range all {
		if ctx.Err() != nil {
			break
		}
		places <- struct{}{}
		under.Go(func() {
			defer func() { <-places }()
			if err := fn(ctx, a); err != nil {
				cancel(err)
			}
		})
	}
	under.Wait()
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	return nil
}

func (c *run) find(a account, what Difference, where, words string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(Finding{a.invocation.ID, a.invocation.Notified.Sink, what, where, words})
}

func (c *run) add(f Finding) {
	if len(c.report.Findings) == maxFindings {
		c.report.More++
		return
	}
	c.report.Findings = append(c.report.Findings, f)
}

func (c *run) verified() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Verified++
}

// expected is the record that the place must hold; ok is false if that cannot be said, and it was said so.
func (c *run) expected(ctx context.Context, a account) (record []byte, ok bool, err error) {
	row, err := c.Door.Find(ctx, a.invocation.ID)
	if err == nil {
		record, err = c.Door.Owed(ctx, row)
	}
	if r := (*domain.Rejection)(nil); errors.As(err, &r) {
		c.find(a, Unreached, "", "the record that was owed is not in the log any more: "+r.Error())
		return nil, false, nil
	}
	return record, err == nil, err
}
