package door

import (
	"context"
	"errors"
	"fmt"
	"time"

	"deed/domain"
	"deed/eventstore"
	"deed/projections/functions"
)

// changeWithin bounds how long a change of the registry waits to be folded back.
const changeWithin = 10 * time.Second

// changeTries is how often a change is made again that lost a race against another door's.
const changeTries = 5

// Deploy adds a version of a function. A module that cannot run is refused with the reason, and nothing is written.
func (d *Door) Deploy(ctx context.Context, f domain.FunctionID, module []byte, limits domain.Limits, env []domain.EnvVar) (functions.Function, error) {
	if err := domain.CheckFunctionName(f.Name); err != nil {
		return functions.Function{}, err
	}
	if err := limits.Check(); err != nil {
		return functions.Function{}, err
	}
	if err := domain.CheckEnv(env); err != nil {
		return functions.Function{}, err
	}
	if err := d.Modules.Check(ctx, module, limits); err != nil {
		return functions.Function{}, err
	}
	digest, err := d.Blobs.Put(ctx, module) // first: the registry must never name a module that is not there
	if err != nil {
		return functions.Function{}, fmt.Errorf("store the module: %w", err)
	}
	err = d.change(ctx, f, func(revision int) domain.Event {
		return domain.FunctionDeployed{
			Function: f, Expected: revision, Version: d.Registry.NextVersion(f), Code: digest, Size: int64(len(module)), Limits: limits, Env: env,
		}
	})
	if err != nil {
		return functions.Function{}, err
	}
	return d.Registry.Get(f)
}

// Delete removes a function; its open invocations still run.
func (d *Door) Delete(ctx context.Context, f domain.FunctionID) error {
	if _, err := d.Registry.Get(f); err != nil {
		return err
	}
	return d.change(ctx, f, func(revision int) domain.Event { return domain.FunctionDeleted{Function: f, Expected: revision} })
}

// SetPolicy sets a function's policy; the zero Policy unsets it. A policy that would close a cycle of functions is refused,
// naming the cycle.
func (d *Door) SetPolicy(ctx context.Context, f domain.FunctionID, p domain.Policy) (functions.Function, error) {
	if _, err := d.Registry.Get(f); err != nil {
		return functions.Function{}, err
	}
	if p.Set {
		if err := p.Check(); err != nil {
			return functions.Function{}, err
		}
		if err := d.Registry.CheckCycle(f, p); err != nil {
			return functions.Function{}, err // before anything is written; the fold checks again, for doors that race
		}
	}
	if err := d.change(ctx, f, func(revision int) domain.Event {
		return domain.PolicyChanged{Function: f, Expected: revision, Policy: p}
	}); err != nil {
		return functions.Function{}, err
	}
	return d.Registry.Get(f)
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

func (d *Door) change(ctx context.Context, f domain.FunctionID, event func(revision int) domain.Event) error {
	var err error
	for range changeTries {
		err = d.changeOnce(ctx, event(d.Registry.Revision(f)))
		if rejection := (*domain.Rejection)(nil); !errors.As(err, &rejection) || rejection.Code != domain.CodeConflict {
			return err
		}
		if p, ok := event(0).(domain.PolicyChanged); ok && d.Registry.CheckCycle(f, p.Policy) != nil {
			return err // a conflict that does not go away
		}
	}
	return err
}

// changeOnce appends a change and answers with how the fold judged it.
func (d *Door) changeOnce(ctx context.Context, e domain.Event) error {
	ctx, cancel := context.WithTimeout(ctx, changeWithin)
	defer cancel()
	var id domain.UUID
	d.Random(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	verdict := make(chan error, 1)
	d.Registry.Expect(id, func(err error) { verdict <- err })
	defer d.Registry.Forget(id)
	now := d.Now()
	if _, err := d.append(ctx, d.Functions, 0, domain.Record{ID: id, At: domain.InstantOf(now), Event: e}, now); err != nil {
		return err
	}
	select {
	case err := <-verdict:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the change was written and not read back within %s: %w", changeWithin, eventstore.ErrUnknownOutcome)
	}
}
