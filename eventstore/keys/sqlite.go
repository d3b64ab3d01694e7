package keys

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver
)

// version is the layout's, kept in user_version; a newer program's file is refused.
const version = 1

const schema = `
CREATE TABLE IF NOT EXISTS keys (
	project     TEXT    NOT NULL,
	key         TEXT    NOT NULL,
	id          BLOB    NOT NULL,
	fingerprint BLOB    NOT NULL,
	accepted    INTEGER NOT NULL,
	expires     INTEGER NOT NULL, -- ms since 1970
	PRIMARY KEY (project, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS keys_by_expiry ON keys (expires);
CREATE TABLE IF NOT EXISTS cluster (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL) STRICT;
PRAGMA user_version = 1;`

const (
	selectRow = `SELECT id, fingerprint, accepted, expires FROM keys WHERE project = ? AND key = ?`
	insertRow = `INSERT INTO keys (project, key, id, fingerprint, accepted, expires) VALUES (?1, ?2, ?3, ?4, 0, ?5)
		ON CONFLICT (project, key) DO UPDATE SET id = ?3, fingerprint = ?4, accepted = 0, expires = ?5 WHERE expires <= ?6`
	replaceRow    = `UPDATE keys SET id = ?, expires = ? WHERE project = ? AND key = ? AND id = ? AND accepted = 0`
	acceptRow     = `UPDATE keys SET accepted = 1 WHERE project = ? AND key = ? AND id = ?`
	removeExpired = `DELETE FROM keys WHERE (project, key) IN (SELECT project, key FROM keys WHERE expires <= ? ORDER BY expires LIMIT ?)`
	nameCluster   = `INSERT INTO cluster (one, id) VALUES (1, ?) ON CONFLICT DO NOTHING`
	selectCluster = `SELECT id FROM cluster`
)

// sweep is how many expired rows a claim removes at most. More than one, so that the file shrinks back to what lives.
const sweep = 16

// readers is how many lookups go on at once, beside the writer.
const readers = 4

// Store is a SQLite file of rows. Its methods may be called concurrently. One process has it open at a time.
type Store struct {
	db     *sql.DB
	writer *sql.Conn
	writes chan *write
	quit   chan struct{} // closed by Close
	ended  chan struct{} // closed when the writer has ended
}

// Open opens the file and makes it if it is missing; the directory must be there. The error says so if the file is not a
// key store, is damaged, or is a newer program's.
func Open(ctx context.Context, path string) (_ *Store, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("open key store %s: %w", path, err)
		}
	}()
	if err := create(path); err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	dsn := "file:" + (&url.URL{Path: filepath.ToSlash(abs)}).EscapedPath() +
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1 + readers)
	db.SetMaxIdleConns(1 + readers)
	s := &Store{db: db, writes: make(chan *write), quit: make(chan struct{}), ended: make(chan struct{})}
	if s.writer, err = db.Conn(ctx); err == nil {
		err = s.prepare(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	go s.run()
	return s, nil
}

// create makes the file private and its name durable; SQLite gives its other files the same mode.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the operator's path
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// prepare makes the tables and checks that the promises are in force.
func (s *Store) prepare(ctx context.Context) error {
	var have, synchronous int
	var mode string
	if err := s.writer.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return err
	}
	if have > version {
		return fmt.Errorf("it has layout %d, this program knows %d: a newer Deed wrote it", have, version)
	}
	if _, err := s.writer.ExecContext(ctx, schema); err != nil {
		return err
	}
	if err := s.writer.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&synchronous); err != nil {
		return err
	}
	if err := s.writer.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return err
	}
	if synchronous != 2 || mode != "wal" {
		return fmt.Errorf("the file system does not keep a write-ahead log (journal %s, synchronous %d)", mode, synchronous)
	}
	return nil
}

// Close ends the writer and closes the file. What an operation said was done is durable already.
func (s *Store) Close() error {
	select {
	case <-s.quit:
		return nil
	default:
	}
	close(s.quit)
	<-s.ended
	return errors.Join(s.writer.Close(), s.db.Close())
}
