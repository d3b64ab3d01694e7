// Package keys remembers idempotency keys: which invocation the first call with a key was given, and whether that one was
// accepted. It decides nothing; the rules of what a door may do with a row are in docs/protocol.md, 6.9, and in the door.
//
// Rows stand in one SQLite file of one node, so a key is unique among the calls to that node. What an operation says was
// done is durable when it returns: the write-ahead log is fsynced with every commit (synchronous=FULL), for a row that is
// lost behind an append makes the next call with its key a second invocation. There is one writer, which takes all that
// wait into one commit: a call costs no fsync of its own when many come at once.
//
// If we crash in an operation it was done or not done, as with any error. A row that was claimed and not marked accepted
// is pending, and the door finds out from the log.
package keys

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"deed/domain"
)

// Lifetime is how long a row lives after its id was made. Afterwards the key is as if it had never been used. It is less
// than any retention of the log that a node accepts: the log can always tell what became of a row's id.
const Lifetime = 24 * time.Hour

// ErrOtherCluster says that the rows are about another cluster's invocations.
var ErrOtherCluster = errors.New("the keys belong to another cluster")

// ErrClosed is returned by a store that was closed.
var ErrClosed = errors.New("key store closed")

// Row is what is known of a key.
type Row struct {
	ID          domain.InvocationID
	Fingerprint domain.Digest // of the request: another request under the same key is a mistake
	Accepted    bool          // the log is known to have it; else it is pending
	Expires     domain.Instant
}

// Get is the row of a key; ok is false if there is none, or it has expired.
func (s *Store) Get(ctx context.Context, project, key string, now domain.Instant) (row Row, ok bool, err error) {
	row, err = scan(s.db.QueryRowContext(ctx, selectRow, project, key))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Row{}, false, nil
	case err != nil:
		return Row{}, false, fmt.Errorf("look key up: %w", err)
	}
	return row, now < row.Expires, nil
}

// Claim gives the key a pending row with that id and fingerprint unless it has one that has not expired, and returns the
// row that stands: of concurrent claims one wins, and all see its row. In passing it removes a few expired rows.
func (s *Store) Claim(ctx context.Context, project, key string, id domain.InvocationID, fingerprint domain.Digest, now domain.Instant) (Row, error) {
	return s.change(ctx, "claim key", func(ctx context.Context, c *sql.Conn) (Row, error) {
		if _, err := c.ExecContext(ctx, removeExpired, int64(now), sweep); err != nil {
			return Row{}, err
		}
		if _, err := c.ExecContext(ctx, insertRow, project, key, id[:], fingerprint[:], int64(id.T0().Add(Lifetime)), int64(now)); err != nil {
			return Row{}, err
		}
		return scan(c.QueryRowContext(ctx, selectRow, project, key))
	})
}

// Replace gives a pending row that has the id old another one, and returns the row that stands; its ID is not fresh if
// somebody else was faster, and the zero Row stands if it has been removed.
func (s *Store) Replace(ctx context.Context, project, key string, old, fresh domain.InvocationID) (Row, error) {
	return s.change(ctx, "replace key", func(ctx context.Context, c *sql.Conn) (Row, error) {
		if _, err := c.ExecContext(ctx, replaceRow, fresh[:], int64(fresh.T0().Add(Lifetime)), project, key, old[:]); err != nil {
			return Row{}, err
		}
		row, err := scan(c.QueryRowContext(ctx, selectRow, project, key))
		if errors.Is(err, sql.ErrNoRows) {
			return Row{}, nil
		}
		return row, err
	})
}

// Accept marks the row accepted if it still has that id; it does nothing else.
func (s *Store) Accept(ctx context.Context, project, key string, id domain.InvocationID) error {
	_, err := s.change(ctx, "accept key", func(ctx context.Context, c *sql.Conn) (Row, error) {
		_, err := c.ExecContext(ctx, acceptRow, project, key, id[:])
		return Row{}, err
	})
	return err
}

// Belong makes the rows the cluster's if they are nobody's yet. The error is ErrOtherCluster if they are another one's: its
// ids say nothing about this cluster's log.
func (s *Store) Belong(ctx context.Context, cluster string) error {
	var have string
	_, err := s.change(ctx, "name the cluster of the keys", func(ctx context.Context, c *sql.Conn) (Row, error) {
		if _, err := c.ExecContext(ctx, nameCluster, cluster); err != nil {
			return Row{}, err
		}
		return Row{}, c.QueryRowContext(ctx, selectCluster).Scan(&have)
	})
	if err == nil && have != cluster {
		err = fmt.Errorf("%w: they are of cluster %q, this is %q", ErrOtherCluster, have, cluster)
	}
	return err
}

func scan(r *sql.Row) (Row, error) {
	var row Row
	var id, fingerprint []byte
	var expires int64
	if err := r.Scan(&id, &fingerprint, &row.Accepted, &expires); err != nil {
		return Row{}, err
	}
	if copy(row.ID[:], id) != len(row.ID) || copy(row.Fingerprint[:], fingerprint) != len(row.Fingerprint) {
		return Row{}, errors.New("the row is damaged")
	}
	row.Expires = domain.Instant(expires)
	return row, nil
}
