package invocations

import (
	"bytes"
	"slices"
	"sort"

	"deed/domain"
)

// order holds rows by id, oldest first. An id begins with the acceptance time, so this is the order of acceptance. Nearly
// every row is added at the end; any other moves the rows of one chunk at most. The zero value is empty.
type order struct {
	chunks [][]*Row // none is empty
}

// chunk is how many rows a chunk holds at most.
const chunk = 512

func before(a, b domain.InvocationID) bool { return bytes.Compare(a[:], b[:]) < 0 }

// first is where the first row stands for which ok is true, as it must be of all behind it; the end of the last chunk if
// there is none.
func (o *order) first(ok func(domain.InvocationID) bool) (c, i int) {
	c = max(0, sort.Search(len(o.chunks), func(c int) bool { return ok(o.chunks[c][0].State.ID) })-1)
	if c >= len(o.chunks) {
		return c, 0
	}
	rows := o.chunks[c]
	if i = sort.Search(len(rows), func(i int) bool { return ok(rows[i].State.ID) }); i == len(rows) && c+1 < len(o.chunks) {
		return c + 1, 0
	}
	return c, i
}

// seek is where the first row stands whose id is not before the given one.
func (o *order) seek(id domain.InvocationID) (c, i int) {
	return o.first(func(at domain.InvocationID) bool { return !before(at, id) })
}

// ceil is the oldest row whose id is not before the given one; nil if there is none.
func (o *order) ceil(id domain.InvocationID) *Row {
	c, i := o.seek(id)
	return o.at(c, i)
}

// after is the oldest row that is newer than the given one, which must be there; nil if there is none.
func (o *order) after(r *Row) *Row {
	c, i := o.seek(r.State.ID)
	return o.at(c, i+1)
}

func (o *order) at(c, i int) *Row {
	if c < len(o.chunks) && i == len(o.chunks[c]) {
		c, i = c+1, 0
	}
	if c >= len(o.chunks) {
		return nil
	}
	return o.chunks[c][i]
}

// insert adds a row, whose id must not be there.
func (o *order) insert(r *Row) {
	if len(o.chunks) == 0 {
		o.chunks = append(o.chunks, []*Row{r})
		return
	}
	c, i := o.seek(r.State.ID)
	rows := o.chunks[c]
	switch {
	case len(rows) < chunk:
	case i == chunk && c == len(o.chunks)-1: // the usual case: chunks stay full
		o.chunks = append(o.chunks, []*Row{r})
		return
	default:
		upper := append(make([]*Row, 0, chunk), rows[chunk/2:]...)
		o.chunks = slices.Insert(o.chunks, c+1, upper)
		o.chunks[c] = slices.Delete(rows, chunk/2, chunk)
		if i > chunk/2 {
			c, i = c+1, i-chunk/2
		}
	}
	o.chunks[c] = slices.Insert(o.chunks[c], i, r)
}

// remove takes a row out, which must be there. Neighbours that have become small are joined, so that a few rows never hold
// many chunks.
func (o *order) remove(r *Row) {
	c, i := o.seek(r.State.ID)
	o.chunks[c] = slices.Delete(o.chunks[c], i, i+1)
	if len(o.chunks[c]) == 0 {
		o.chunks = slices.Delete(o.chunks, c, c+1)
		return
	}
	for _, c := range [...]int{c, c - 1} {
		if c >= 0 && c+1 < len(o.chunks) && len(o.chunks[c])+len(o.chunks[c+1]) <= chunk/2 {
			o.chunks[c] = append(o.chunks[c], o.chunks[c+1]...)
			o.chunks = slices.Delete(o.chunks, c+1, c+2)
		}
	}
}

// newest is a cursor on the newest row that was accepted until then; zero: on the newest of all.
func (o *order) newest(until domain.Instant) cursor {
	at := cursor{o, len(o.chunks) - 1, 0}
	if at.c < 0 {
		return at
	}
	at.i = len(o.chunks[at.c]) - 1
	if until != 0 {
		at.c, at.i = o.first(func(id domain.InvocationID) bool { return id.T0() > until })
		at.next()
	}
	return at
}

// cursor goes over an order from the newer rows to the older ones.
type cursor struct {
	order *order
	c, i  int
}

// row is where the cursor stands; nil behind the oldest row.
func (c *cursor) row() *Row {
	if c.c < 0 {
		return nil
	}
	return c.order.chunks[c.c][c.i]
}

// next goes on to the next older row.
func (c *cursor) next() {
	c.i--
	for c.i < 0 && c.c >= 0 {
		if c.c--; c.c >= 0 {
			c.i = len(c.order.chunks[c.c]) - 1
		}
	}
}
