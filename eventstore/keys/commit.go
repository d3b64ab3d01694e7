package keys

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// maxBatch is how many writes share a commit, and so an fsync.
const maxBatch = 256

// commitWithin bounds a commit: a disk that hangs must not hang every caller.
const commitWithin = 10 * time.Second

// write is one change that waits for its commit.
type write struct {
	do   func(ctx context.Context, c *sql.Conn) (Row, error)
	row  Row
	err  error
	done chan struct{} // closed when row and err stand
}

// change hands a write to the writer and waits until it is durable. With an error it may or may not have been done.
func (s *Store) change(ctx context.Context, what string, do func(context.Context, *sql.Conn) (Row, error)) (Row, error) {
	w := &write{do: do, done: make(chan struct{})}
	select {
	case s.writes <- w:
	case <-s.quit:
		return Row{}, fmt.Errorf("%s: %w", what, ErrClosed)
	case <-ctx.Done():
		return Row{}, fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		return Row{}, fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	if w.err != nil {
		return Row{}, fmt.Errorf("%s: %w", what, w.err)
	}
	return w.row, nil
}

// run is the one writer. It ends after Close, when all that it took is answered.
func (s *Store) run() {
	defer close(s.ended)
	for {
		var batch []*write
		select {
		case w := <-s.writes:
			batch = append(batch, w)
		case <-s.quit:
			return
		}
		for more := true; more && len(batch) < maxBatch; {
			select {
			case w := <-s.writes: // whoever waits already goes along
				batch = append(batch, w)
			default:
				more = false
			}
		}
		s.commit(batch)
	}
}

// commit does the writes in one transaction, in order, and answers all. If one fails, what the others did is undone, too, and
// each is done again by itself: one damaged row must not fail the calls that happen to come at the same time.
func (s *Store) commit(batch []*write) {
	err := s.transact(batch)
	if err != nil && len(batch) > 1 {
		for i := range batch {
			s.commit(batch[i : i+1])
		}
		return
	}
	for _, w := range batch {
		w.err = err
		close(w.done)
	}
}

func (s *Store) transact(batch []*write) error {
	ctx, cancel := context.WithTimeout(context.Background(), commitWithin)
	defer cancel()
	if _, err := s.writer.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := func() (err error) {
		for _, w := range batch {
			if w.row, err = w.do(ctx, s.writer); err != nil {
				return err
			}
		}
		_, err = s.writer.ExecContext(ctx, "COMMIT")
		return err
	}()
	if err != nil {
		_, _ = s.writer.ExecContext(context.Background(), "ROLLBACK") // a failed commit may have ended it already
	}
	return err
}
