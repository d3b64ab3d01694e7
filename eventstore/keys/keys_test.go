package keys

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"deed/domain"
)

const start = domain.Instant(1_800_000_000_000)

func open(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func id(at domain.Instant, n byte) domain.InvocationID {
	return domain.NewInvocationID(at, 3, [8]byte{n})
}

// TestLife of a row: claimed once, replaced only while pending and only from the id that it has, accepted, expired, claimed
// anew; and all of it is there when the file is opened again.
func TestLife(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a ? strange # name %20", "keys.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	ctx := t.Context()
	f, g := domain.DigestOf([]byte("f")), domain.DigestOf([]byte("g"))
	a, b, c := id(start, 1), id(start+1, 2), id(start+2, 3)
	if _, ok, err := s.Get(ctx, "p", "k", start); err != nil || ok {
		t.Fatal(ok, err)
	}
	row, err := s.Claim(ctx, "p", "k", a, f, start)
	if want := (Row{a, f, false, start.Add(Lifetime)}); err != nil || row != want {
		t.Fatalf("%+v, want %+v: %v", row, want, err)
	}
	if row, err = s.Claim(ctx, "p", "k", b, g, start+1); err != nil || row.ID != a || row.Fingerprint != f {
		t.Fatal("a second claim:", row, err)
	}
	if row, err = s.Claim(ctx, "q", "k", b, g, start+1); err != nil || row.ID != b {
		t.Fatal("another project:", row, err)
	}
	if row, err = s.Replace(ctx, "p", "k", b, c); err != nil || row.ID != a {
		t.Fatal("replaced from an id that it does not have:", row, err)
	}
	if row, err = s.Replace(ctx, "p", "k", a, c); err != nil || row != (Row{c, f, false, c.T0().Add(Lifetime)}) {
		t.Fatal(row, err)
	}
	if err := s.Accept(ctx, "p", "k", a); err != nil {
		t.Fatal(err)
	}
	if row, _, _ = s.Get(ctx, "p", "k", start); row.Accepted {
		t.Fatal("accepted by an id that it has no more")
	}
	if err := s.Accept(ctx, "p", "k", c); err != nil {
		t.Fatal(err)
	}
	if row, err = s.Replace(ctx, "p", "k", c, a); err != nil || row.ID != c || !row.Accepted {
		t.Fatal("replaced although accepted:", row, err)
	}
	if row, err = s.Replace(ctx, "p", "nobody", a, b); err != nil || row != (Row{}) {
		t.Fatal(row, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Claim(ctx, "p", "k", a, f, start); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}

	s = open(t, path)
	end := c.T0().Add(Lifetime)
	if row, ok, err := s.Get(ctx, "p", "k", end-1); err != nil || !ok || row != (Row{c, f, true, end}) {
		t.Fatal(row, ok, err)
	}
	if _, ok, err := s.Get(ctx, "p", "k", end); err != nil || ok {
		t.Fatal("there after its end", ok, err)
	}
	if row, err := s.Claim(ctx, "p", "k", id(end, 9), g, end); err != nil || row != (Row{id(end, 9), g, false, end.Add(Lifetime)}) {
		t.Fatal(row, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
}

// TestSweep: expired rows go in passing, a batch at a time, and those that live stay.
func TestSweep(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "keys.db"))
	for i := range 3 * sweep {
		at := start + domain.Instant(i)
		if _, err := s.Claim(t.Context(), "p", fmt.Sprint(i), id(at, 0), domain.Digest{}, at); err != nil {
			t.Fatal(err)
		}
	}
	count := func() (n int) {
		if err := s.db.QueryRowContext(t.Context(), "SELECT count(*) FROM keys").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	now := start.Add(Lifetime) + 2*sweep - 1 // two batches of them have expired
	for i, want := range []int{2*sweep + 1, sweep + 2, sweep + 3} {
		if _, err := s.Claim(t.Context(), "p", fmt.Sprint("new", i), id(now, 0), domain.Digest{}, now); err != nil {
			t.Fatal(err)
		}
		if got := count(); got != want {
			t.Errorf("%d rows after claim %d, want %d", got, i, want)
		}
	}
	if _, ok, err := s.Get(t.Context(), "p", fmt.Sprint(2*sweep), now); err != nil || !ok {
		t.Error("a row that lives was removed", err)
	}
}

// TestHammer: of claims that race one wins, and all see its row; the same of replacements.
func TestHammer(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "keys.db"))
	for k := range 20 {
		key := fmt.Sprint(k)
		race := func(do func(n byte) (Row, error)) domain.InvocationID {
			var wg sync.WaitGroup
			rows := make([]Row, 16)
			for i := range rows {
				wg.Go(func() {
					var err error
					if rows[i], err = do(byte(i)); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			for _, r := range rows {
				if r != rows[0] {
					t.Fatalf("key %s: %v and %v", key, r, rows[0])
				}
			}
			return rows[0].ID
		}
		first := race(func(n byte) (Row, error) { return s.Claim(t.Context(), "p", key, id(start, n), domain.Digest{}, start) })
		second := race(func(n byte) (Row, error) { return s.Replace(t.Context(), "p", key, first, id(start+1, n)) })
		if second == first {
			t.Error("nobody replaced it")
		}
	}
}

// TestOneFails: a write that fails does not fail those that share its commit.
func TestOneFails(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "keys.db"))
	broken := errors.New("broken")
	good := func(n byte) *write {
		return &write{done: make(chan struct{}), do: func(ctx context.Context, c *sql.Conn) (Row, error) {
			_, err := c.ExecContext(ctx, insertRow, "p", string('a'+n), make([]byte, 16), make([]byte, 32), 1, 0)
			return Row{Expires: domain.Instant(n)}, err
		}}
	}
	batch := []*write{good(1), {done: make(chan struct{}), do: func(context.Context, *sql.Conn) (Row, error) { return Row{}, broken }}, good(2)}
	s.commit(batch) // the writer's goroutine has nothing to do
	for i, w := range batch {
		<-w.done
		if bad := i == 1; errors.Is(w.err, broken) != bad || !bad && w.err != nil {
			t.Errorf("write %d: %v", i, w.err)
		}
	}
	var n int
	if err := s.db.QueryRowContext(t.Context(), "SELECT count(*) FROM keys").Scan(&n); err != nil || n != 2 {
		t.Error(n, err)
	}
}

func TestBelong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s := open(t, path)
	for range 2 {
		if err := s.Belong(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Belong(t.Context(), "b"); !errors.Is(err, ErrOtherCluster) || !strings.Contains(err.Error(), `"a"`) {
		t.Error(err)
	}
}

// TestWhatIsNotAStore is refused with words, and left alone.
func TestWhatIsNotAStore(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(dir, "newer.db")
	s := open(t, newer)
	if _, err := s.writer.ExecContext(t.Context(), "PRAGMA user_version = 7"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{text: "not a database", newer: "a newer Deed", dir: "directory", filepath.Join(dir, "no", "k"): "no such file"} {
		if s, err := Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v (%v)", path, err, s)
		}
	}
}

// TestHangingUp: a caller that goes away is let go, also while the writer is busy.
func TestHangingUp(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "keys.db"))
	busy, free := make(chan struct{}), make(chan struct{})
	go func() {
		_, _ = s.change(context.Background(), "wait", func(context.Context, *sql.Conn) (Row, error) {
			close(busy)
			<-free
			return Row{}, nil
		})
	}()
	<-busy
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Accept(ctx, "p", "k", id(start, 1)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(free)
}

// BenchmarkClaim is what a key costs before the append, alone and in a crowd: the crowd shares its fsyncs.
func BenchmarkClaim(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "keys.db"))
			var wg sync.WaitGroup
			var mu sync.Mutex
			n := 0
			began := time.Now()
			for range callers {
				wg.Go(func() {
					for {
						mu.Lock()
						mine := n
						n++
						mu.Unlock()
						if mine >= b.N {
							return
						}
						if _, err := s.Claim(b.Context(), "p", fmt.Sprint(mine), id(start, 1), domain.Digest{}, start); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "claims/s")
		})
	}
}
