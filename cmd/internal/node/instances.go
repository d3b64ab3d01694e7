package node

import (
	"crypto/sha256"

	"deed/cmd/internal/door"
	"deed/domain"
	"deed/projections/functions"
	"deed/runtime/worker"
)

// targets is what owners ask of the registry.
type targets struct {
	*door.Door
	n *Node
}

// MaxInstances is this node's share of how many attempts of a function may run at once: as much of it as the node owns of
// the partitions, rounded up. So with several nodes there may be one more for each of them but the first, and no function
// has to wait for a node that has no share.
func (t targets) MaxInstances(f domain.FunctionID) int {
	most := t.n.Registry.MaxInstances(f)
	if most <= 0 {
		return most
	}
	owned, all := 0, 0
	t.n.eachPart(func(_ int, p *part) {
		all++
		if p.owner.Acting() {
			owned++
		}
	})
	return max(1, (most*owned+all-1)/max(all, 1))
}

// acting is told when the node begins to act on a partition, or ceases to.
func (n *Node) acting() {
	n.share()
	n.eachPart(func(_ int, p *part) { p.feed.poke() })
}

// share gives functions the share of their limits that is due with the partitions that the node owns now. What waits for a
// larger one is not asked for again by anything else.
func (n *Node) share() {
	for _, f := range n.Registry.Limited() {
		n.runs.Limit(f.String(), targets{n.Door, n}.MaxInstances(f))
	}
}

// changed is told of every change of the registry that took effect.
func (n *Node) changed(e domain.Event) {
	switch e := e.(type) {
	case domain.ConcurrencyLimited:
		if f, err := n.Registry.Get(e.Function); err == nil {
			n.runs.Limit(f.ID.String(), targets{n.Door, n}.MaxInstances(f.ID))
		}
	case domain.InstancesReserved:
		n.warm(e.Function)
	case domain.FunctionDeployed:
		if e.Limited {
			n.changed(domain.ConcurrencyLimited{Function: e.Function, Max: e.Max})
		}
		n.warm(e.Function)
	case domain.AliasSet:
		n.warm(e.Function)
	case domain.AliasDeleted:
		n.warm(e.Function)
	case domain.VersionDeleted:
		n.warm(e.Function)
	case domain.FunctionDeleted:
		n.warm(e.Function)
	default:
	}
}

// warm loads the code of a function's versions that have instances reserved, and keeps it in memory, so that no attempt
// waits for it.
func (n *Node) warm(id domain.FunctionID) {
	f, err := n.Registry.Get(id)
	if err != nil {
		n.host.Pin(id.String())
		return
	}
	var codes []worker.Code
	for _, r := range f.Reserved {
		if r.Count == 0 {
			continue
		}
		for _, v := range reservedVersions(f, r.Qualifier) {
			codes = append(codes, worker.Code{Module: v.Code, Files: v.Files})
		}
	}
	pinned := make([][sha256.Size]byte, len(codes))
	for i, code := range codes {
		pinned[i] = code.Module
	}
	n.host.Pin(id.String(), pinned...)
	if len(codes) == 0 {
		return
	}
	n.readers.Go(func() {
		for _, code := range codes {
			if err := n.engine.Load(n.run, code); err != nil && n.run.Err() == nil {
				n.config.Logger.Warn("reserved code cannot be loaded; the first attempt will try again", "function", f.ID, "error", err)
			}
		}
	})
}

// reservedVersions are the versions that a qualifier leads to: both of an alias's.
func reservedVersions(f functions.Function, qualifier string) (out []functions.Version) {
	names := []string{qualifier}
	if len(qualifier) > 1 && qualifier[0] == '!' {
		a, _ := f.Alias(qualifier[1:])
		names = []string{a.Version, a.Other}
	}
	for _, name := range names {
		if v, ok := f.Version(name); ok {
			out = append(out, v)
		}
	}
	return out
}
