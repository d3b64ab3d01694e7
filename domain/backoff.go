package domain

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"time"
)

// The curve of waiting: the n-th wait is drawn from [0, min(BackoffCap, BackoffBase·2^(n-1))). FunctionGraph documents
// none; these are ours.
const (
	BackoffBase = time.Second
	BackoffCap  = time.Minute
)

// Backoff is the wait after the n-th failure (n from 1), exponential with full jitter. The jitter is drawn from a hash
// of the id and n: the same history waits the same time, wherever it is folded.
func Backoff(id UUID, n int) time.Duration {
	ceiling := BackoffCap
	if n < 1 {
		n = 1
	}
	if n <= bits.Len64(uint64(BackoffCap/BackoffBase)) {
		ceiling = min(ceiling, BackoffBase<<(n-1))
	}
	var in [24]byte
	copy(in[:], id[:])
	binary.BigEndian.PutUint64(in[16:], uint64(n)) //nolint:gosec // n is positive
	sum := sha256.Sum256(in[:])
	hi, _ := bits.Mul64(binary.BigEndian.Uint64(sum[:8]), uint64(ceiling))
	return time.Duration(hi) //nolint:gosec // below ceiling
}
