package door

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"deed/domain"
	"deed/eventstore"
	"deed/projections/functions"
	"deed/runtime/files"
)

// changeWithin bounds how long a change of the registry waits to be folded back.
const changeWithin = 10 * time.Second

// changeTries is how often a change is made again that lost a race against another door's.
const changeTries = 20

// Code is what a function is deployed with.
type Code struct {
	Module []byte
	Files  *files.Tree // nil: none
}

// Kept is code that is stored, as a deployment names it.
type Kept struct {
	Code  domain.Digest
	Size  int64
	Files domain.Files
}

// Keep checks code and stores it: the registry must never name what is not there. A module that cannot run is refused with
// the reason.
func (d *Door) Keep(ctx context.Context, c Code, limits domain.Limits) (Kept, error) {
	if err := d.Modules.Check(ctx, c.Module, c.Files, limits); err != nil {
		return Kept{}, err
	}
	k := Kept{Size: int64(len(c.Module))}
	var err error
	if c.Files != nil {
		archive := c.Files.Archive()
		k.Files.Size = int64(len(archive))
		if k.Files.Digest, err = d.Blobs.Put(ctx, archive); err != nil {
			return Kept{}, fmt.Errorf("store the files: %w", err)
		}
	}
	if k.Code, err = d.Blobs.Put(ctx, c.Module); err != nil {
		return Kept{}, fmt.Errorf("store the module: %w", err)
	}
	return k, nil
}

// Deploy adds a numbered version of a function. A deployment is whole: what it does not say, files among it, the version does
// not have. A module that cannot run is refused with the reason, and nothing is written.
func (d *Door) Deploy(ctx context.Context, f domain.FunctionID, c Code, limits domain.Limits, env []domain.EnvVar) (functions.Function, error) {
	if err := domain.CheckFunctionName(f.Name); err != nil {
		return functions.Function{}, err
	}
	if err := limits.Check(); err != nil {
		return functions.Function{}, err
	}
	if err := domain.CheckEnv(env); err != nil {
		return functions.Function{}, err
	}
	kept, err := d.Keep(ctx, c, limits)
	if err != nil {
		return functions.Function{}, err
	}
	return d.Change(ctx, f, func(now functions.Function, exists bool) (domain.Event, error) {
		e := domain.FunctionDeployed{
			Function: now.ID, Expected: now.Revision, Version: now.NextNumber(), Code: kept.Code, Size: kept.Size, Files: kept.Files, Limits: limits, Env: env,
		}
		if exists {
			e.Agency, e.About = now.Head.Agency, now.Head.About
		}
		return e, nil
	})
}

// Delete removes a function; its open invocations still run.
func (d *Door) Delete(ctx context.Context, f domain.FunctionID) error {
	_, err := d.Change(ctx, f, func(now functions.Function, exists bool) (domain.Event, error) {
		if !exists {
			_, err := d.Registry.Get(f)
			return nil, err
		}
		return domain.FunctionDeleted{Function: now.ID, Expected: now.Revision}, nil
	})
	return err
}

// SetPolicy sets the policy of what was deployed last of a function; the zero Policy unsets it. A policy that would close a
// cycle of functions is refused, naming the cycle.
func (d *Door) SetPolicy(ctx context.Context, f domain.FunctionID, p domain.Policy) (functions.Function, error) {
	return d.SetVersionPolicy(ctx, f, "", p, "")
}

// SetVersionPolicy is SetPolicy of a version; "" is what was deployed last. shown is how the door was told, and is kept.
func (d *Door) SetVersionPolicy(ctx context.Context, f domain.FunctionID, version string, p domain.Policy, shown string) (functions.Function, error) {
	return d.Change(ctx, f, func(now functions.Function, exists bool) (domain.Event, error) {
		if !exists {
			_, err := d.Registry.Get(f)
			return nil, err
		}
		if p.Set {
			if err := p.Check(); err != nil {
				return nil, err
			}
			if err := d.CheckTargets(f, p); err != nil {
				return nil, err
			}
			if err := d.Registry.CheckCycle(f, p); err != nil {
				return nil, err // before anything is written; the fold checks again, for doors that race
			}
		}
		return domain.PolicyChanged{Function: now.ID, Expected: now.Revision, Version: version, Policy: p, Shown: shown}, nil
	})
}

// CheckTargets refuses a policy whose targets this deployment cannot have.
func (d *Door) CheckTargets(f domain.FunctionID, p domain.Policy) error {
	if d.Target == nil {
		return nil
	}
	for _, t := range []domain.Target{p.OnSuccess, p.OnFailure} {
		if err := d.Target(f, t); err != nil {
			return err
		}
	}
	return nil
}

// Form names the cluster if it has no name yet.
func (d *Door) Form(ctx context.Context) error {
	if !d.Registry.Cluster().IsZero() {
		return nil
	}
	var id domain.UUID
	d.Random(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	err := d.changeOnce(ctx, domain.ClusterFormed{Cluster: id})
	if !d.Registry.Cluster().IsZero() {
		return nil // by us or by somebody faster
	}
	return err
}

// Change makes one change of a function. event makes it from the function as it stands, is called again if another door was
// faster, and returns an error if there is nothing to change: then nothing is written. It returns the function behind the
// change.
func (d *Door) Change(ctx context.Context, f domain.FunctionID, event func(now functions.Function, exists bool) (domain.Event, error)) (functions.Function, error) {
	turn := d.turn(f)
	turn.Lock() // the changes of one node never race one another; those of others are tried again
	defer turn.Unlock()
	var err error
	for range changeTries {
		now, exists := d.Registry.State(f)
		if !exists {
			now.ID = f // made anew it may be in another region
		}
		var e domain.Event
		if e, err = event(now, exists); err != nil {
			return functions.Function{}, err
		}
		if err = d.changeOnce(ctx, e); err == nil {
			now, _ = d.Registry.State(f)
			return now, nil
		}
		// A conflict is with another door's change, or for good: then event sees it, too, the next time.
		if rejection := (*domain.Rejection)(nil); !errors.As(err, &rejection) || rejection.Code != domain.CodeConflict {
			return functions.Function{}, err
		}
	}
	return functions.Function{}, err
}

// turn is who changes a function at this door now.
func (d *Door) turn(f domain.FunctionID) *sync.Mutex {
	h := fnv.New32a()
	_, _ = h.Write([]byte(f.Project + ":" + f.Package + ":" + f.Name))
	return &d.turns[h.Sum32()%uint32(len(d.turns))]
}

// Note makes a change that is not of a function.
func (d *Door) Note(ctx context.Context, e domain.Event) error { return d.changeOnce(ctx, e) }

// changeOnce appends a change of the registry and answers with how the fold judged it.
func (d *Door) changeOnce(ctx context.Context, e domain.Event) error {
	return d.note(ctx, d.Functions, d.Registry, e)
}

// Operate appends what is about an operation and answers with how the fold judged it: nil, or a *domain.Rejection that says
// why it has no effect.
func (d *Door) Operate(ctx context.Context, e domain.Event) error {
	return d.note(ctx, d.OperationsLog, d.Operations, e)
}

// fold tells how a record was judged.
type fold interface {
	Expect(record domain.UUID, verdict func(error))
	Forget(record domain.UUID)
}

// note appends one record and answers with how the fold judged it.
func (d *Door) note(ctx context.Context, log eventstore.Log, fold fold, e domain.Event) error {
	ctx, cancel := context.WithTimeout(ctx, changeWithin)
	defer cancel()
	var id domain.UUID
	d.Random(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	verdict := make(chan error, 1)
	fold.Expect(id, func(err error) { verdict <- err })
	defer fold.Forget(id)
	now := d.Now()
	if _, err := d.append(ctx, log, 0, domain.Record{ID: id, At: domain.InstantOf(now), Event: e}, now); err != nil {
		return err
	}
	select {
	case err := <-verdict:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the change was written and not read back within %s: %w", changeWithin, eventstore.ErrUnknownOutcome)
	}
}
