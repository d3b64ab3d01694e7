package wasm

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tetratelabs/wazero/sys"

	"deed/domain"
)

// maxError bounds Outcome.Error, in bytes.
const maxError = 4 << 10

// outcome says how the attempt in the sandbox ended. Who stopped the guest decides before what its exit code looks like: a
// guest may exit with the very codes by which the engine says that it stopped one.
func (s *sandbox) outcome(err error) Outcome {
	o := Outcome{PeakMemory: int64(s.memory.peak), Fuel: s.fuel.used}
	o.Log, o.LogTruncated = s.stderr.text()
	if s.stdout.over == 0 {
		o.Result = s.stdout.bytes()
	}
	o.Kind, o.Error = s.failure(err, o.Result, &o.ExitCode)
	o.Error = cut(strings.ToValidUTF8(o.Error, "?"), maxError)
	return o
}

func (s *sandbox) failure(err error, printed []byte, code *uint32) (domain.FailureKind, string) {
	if s.memory.err != nil {
		return domain.FailedPlatform, s.memory.err.Error()
	}
	if s.stdout.over > 0 {
		return domain.FailedOutputTooLarge, fmt.Sprintf("printed %s, or more: its limit is %s", size(int64(s.stdout.over)), size(int64(s.stdout.limit)))
	}
	if s.fuel.spent {
		return domain.FailedTimeout, fmt.Sprintf("used %d units of fuel: its limit is %d", s.fuel.used, s.fuel.limit)
	}
	if s.ctx.Err() != nil {
		return s.stopped(context.Cause(s.ctx))
	}
	if err == nil {
		return domain.NoFailure, ""
	}
	if exit := (*sys.ExitError)(nil); errors.As(err, &exit) {
		if *code = exit.ExitCode(); *code == 0 {
			return domain.NoFailure, ""
		}
		return s.exited(printed, *code)
	}
	words, trapped := trap(err)
	if made := (*unmade)(nil); errors.As(err, &made) && !trapped {
		return domain.FailedBadModule, err.Error()
	}
	if s.deep {
		return domain.FailedTrap, fmt.Sprintf("trapped: stack overflow: its functions called one another deeper than %s allow", size(maxStack))
	}
	if s.memory.refused > 0 {
		return domain.FailedMemory, fmt.Sprintf("asked for %s of memory, when its limit is %s, and then trapped: %s", size(int64(s.memory.refused)), size(int64(s.memory.limit)), words)
	}
	return domain.FailedTrap, "trapped: " + words
}

// exited tells exits with a code other than 0 apart.
func (s *sandbox) exited(printed []byte, code uint32) (domain.FailureKind, string) {
	if text, ok := domain.HandledError(printed); ok {
		return domain.FailedHandled, text
	}
	if s.memory.refused > 0 {
		return domain.FailedMemory, fmt.Sprintf("asked for %s of memory, when its limit is %s, and then exited with code %d", size(int64(s.memory.refused)), size(int64(s.memory.limit)), code)
	}
	return domain.FailedExit, fmt.Sprintf("exited with code %d", code)
}

// stopped says why the host stopped the guest.
func (s *sandbox) stopped(cause error) (domain.FailureKind, string) {
	switch {
	case errors.Is(cause, errTimeout):
		return domain.FailedTimeout, fmt.Sprintf("did not end within its time limit of %s", s.timeout)
	case errors.Is(cause, ErrCanceled):
		return domain.FailedCanceled, "was canceled"
	}
	return domain.FailedPlatform, fmt.Sprintf("was stopped by the node: %v", cause)
}

// trap gives a trap in words, with the functions it happened in, and whether the guest trapped at all.
func trap(err error) (words string, trapped bool) {
	const prefix, trace = "wasm error: ", "Go runtime stack trace:"
	words = err.Error()
	if _, after, ok := strings.Cut(words, prefix); ok {
		words, trapped = after, true
	}
	words, _, _ = strings.Cut(words, trace)
	words = strings.TrimSpace(words)
	return words, trapped || words == "stack overflow"
}
