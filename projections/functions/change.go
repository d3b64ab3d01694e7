package functions

import (
	"fmt"
	"slices"

	"deed/domain"
)

// apply folds one record under the lock.
func (r *Registry) apply(rec domain.Record) error {
	switch e := rec.Event.(type) {
	case domain.ClusterFormed:
		if !r.cluster.IsZero() {
			return domain.Reject(domain.CodeConflict, "the cluster has a name already", "")
		}
		r.cluster = e.Cluster
		return nil
	case domain.StatusLogEnabled:
		r.statusLogs[e.Project] = true
		return nil
	case domain.KeyCreated, domain.KeyRevoked:
		return r.applyKey(rec)
	case domain.FunctionDeployed:
		return r.deployed(e, rec.At)
	case domain.FunctionDeleted:
		return r.change(e.Function, e.Expected, func(f *Function) error {
			f.Deleted, f.Head.Policy = true, domain.Policy{}
			f.Head.PolicyMade, f.Head.PolicyEdited, f.Head.PolicyShown = 0, 0, ""
			return nil
		})
	case domain.VersionPublished:
		return r.change(e.Function, e.Expected, func(f *Function) error {
			if _, taken := f.Version(e.Version); taken {
				return domain.Reject(domain.CodeConflict, fmt.Sprintf("there is a version %s of %s already", e.Version, f.ID.Name), "")
			}
			v := f.Head
			v.Version, v.Description, v.DeployedAt = e.Version, e.Description, rec.At
			f.Versions = append(slices.Clip(f.Versions), v)
			return nil
		})
	case domain.VersionDeleted:
		return r.change(e.Function, e.Expected, func(f *Function) error { return f.deleteVersion(e.Version) })
	case domain.PolicyChanged:
		return r.change(e.Function, e.Expected, func(f *Function) error {
			if err := r.refuseCycle(e.Function, e.Policy); err != nil {
				return err
			}
			return f.setPolicy(e, rec.At)
		})
	case domain.AliasSet:
		return r.change(e.Function, e.Expected, func(f *Function) error { return f.setAlias(Alias{e.Alias, rec.At}) })
	case domain.AliasDeleted:
		return r.change(e.Function, e.Expected, func(f *Function) error {
			if _, ok := f.Alias(e.Name); !ok {
				return noAlias(f.ID, e.Name)
			}
			f.Aliases = slices.DeleteFunc(slices.Clone(f.Aliases), func(a Alias) bool { return a.Name == e.Name })
			f.Reserved = slices.DeleteFunc(slices.Clone(f.Reserved), func(r Reserved) bool { return r.Qualifier == "!"+e.Name })
			return nil
		})
	case domain.ConcurrencyLimited:
		return r.change(e.Function, e.Expected, func(f *Function) error { f.MaxInstances = e.Max; return nil })
	case domain.FunctionTagged:
		return r.change(e.Function, e.Expected, func(f *Function) error { f.Tags = e.Tags; return nil })
	case domain.InstancesReserved:
		return r.change(e.Function, e.Expected, func(f *Function) error { return f.reserve(Reserved{e.Qualifier, e.Count, e.Shown}) })
	default:
		if rec.Problem != "" {
			return fmt.Errorf("undecodable: %s", rec.Problem)
		}
		return fmt.Errorf("%s is not an event of the registry", rec.Type)
	}
}

// change makes a change of a function that exists, on the revision that was expected. It works on a copy: whoever was given
// the function before keeps it as it was.
func (r *Registry) change(id domain.FunctionID, expected int, fn func(*Function) error) error {
	f, err := r.at(id, expected)
	if err != nil {
		return err
	}
	if f.Deploys == 0 || f.Deleted {
		return domain.Reject(domain.CodeNotFound, fmt.Sprintf("there is no function %s", id.Name), "")
	}
	if err := fn(&f); err != nil {
		return err
	}
	f.Revision++
	r.functions[place(id)] = &f
	return nil
}

// at is a copy of the function, if it is at the revision that was expected.
func (r *Registry) at(id domain.FunctionID, expected int) (Function, error) {
	f := Function{ID: id, MaxInstances: domain.NoMaxInstances}
	if known := r.functions[place(id)]; known != nil {
		f = *known
	}
	if f.Revision != expected {
		return f, domain.Reject(domain.CodeConflict, fmt.Sprintf("function %s was changed by somebody else meanwhile (revision %d, not %d)", id.Name, f.Revision, expected), "look at it again, then repeat the change")
	}
	return f, nil
}

func (r *Registry) deployed(e domain.FunctionDeployed, at domain.Instant) error {
	f, err := r.at(e.Function, e.Expected)
	if err != nil {
		return err
	}
	numbered := e.Version != domain.LatestVersion
	if f.Deleted { // what is made anew under the name has nothing of what was
		f = Function{ID: e.Function, Revision: f.Revision, Deploys: f.Deploys, MaxInstances: domain.NoMaxInstances}
	}
	if _, taken := f.Version(e.Version); taken && numbered {
		return domain.Reject(domain.CodeConflict, fmt.Sprintf("there is a version %s of %s already", e.Version, f.ID.Name), "")
	}
	if len(f.Versions) == 0 && f.Head.Serial == 0 {
		f.MadeAt = at
	}
	f.Deploys++
	f.Revision++
	v := f.Head // its policy stays
	v.Version, v.Serial, v.Numbered, v.Description = domain.LatestVersion, f.Deploys, false, ""
	v.Code, v.Size, v.Files, v.Limits, v.Env, v.Agency, v.About, v.DeployedAt = e.Code, e.Size, e.Files, e.Limits, e.Env, e.Agency, e.About, at
	f.Head = v
	if e.Limited {
		f.MaxInstances = e.Max
	}
	if numbered {
		v.Version, v.Numbered = e.Version, true
		f.Versions = append(slices.Clip(f.Versions), v)
	}
	r.functions[place(e.Function)] = &f
	return nil
}

func (f *Function) deleteVersion(name string) error {
	if _, ok := f.Version(name); !ok || name == domain.LatestVersion {
		return NoVersion(f.ID, name)
	}
	for _, a := range f.Aliases {
		if a.Version == name || a.Other == name {
			return domain.Reject(domain.CodeConflict, fmt.Sprintf("alias %s names version %s", a.Name, name), "delete the alias, or give it another version, first")
		}
	}
	f.Versions = slices.DeleteFunc(slices.Clone(f.Versions), func(v Version) bool { return v.Version == name })
	f.Reserved = slices.DeleteFunc(slices.Clone(f.Reserved), func(r Reserved) bool { return r.Qualifier == name })
	return nil
}

// setPolicy changes the policy of a version; that of `latest` is also that of the numbered version which holds the same
// deployment: they are one thing under two names.
func (f *Function) setPolicy(e domain.PolicyChanged, at domain.Instant) error {
	set := func(v *Version) {
		v.PolicyEdited = at
		if !v.Policy.Set {
			v.PolicyMade = at
		}
		v.Policy, v.PolicyShown = e.Policy, e.Shown
	}
	if _, ok := f.Version(e.Version); !ok && e.Version != "" {
		return NoVersion(f.ID, e.Version)
	}
	head := e.Version == "" || e.Version == domain.LatestVersion
	if newest := f.Newest(); newest.Numbered && e.Version == newest.Version {
		head = true
	}
	f.Versions = slices.Clone(f.Versions)
	for i := range f.Versions {
		v := &f.Versions[i]
		if v.Version == e.Version || head && v.Numbered && v.Serial == f.Head.Serial {
			set(v)
		}
	}
	if head {
		set(&f.Head)
	}
	return nil
}

func (f *Function) setAlias(a Alias) error {
	for _, version := range []string{a.Version, a.Other} {
		if _, ok := f.Version(version); !ok && version != "" {
			return NoVersion(f.ID, version)
		}
	}
	f.Aliases = slices.Clone(f.Aliases)
	for i := range f.Aliases {
		if f.Aliases[i].Name == a.Name {
			f.Aliases[i] = a
			return nil
		}
	}
	f.Aliases = append(f.Aliases, a)
	return nil
}

func (f *Function) reserve(r Reserved) error {
	f.Reserved = slices.DeleteFunc(slices.Clone(f.Reserved), func(old Reserved) bool { return old.Qualifier == r.Qualifier })
	if r.Count > 0 {
		f.Reserved = append(f.Reserved, r)
	}
	return nil
}

// NoVersion says that a function has no version of that name.
func NoVersion(f domain.FunctionID, name string) error {
	return domain.Reject(domain.CodeNotFound, fmt.Sprintf("function %s has no version %s", f.Name, name), "")
}

func noAlias(f domain.FunctionID, name string) error {
	return domain.Reject(domain.CodeNotFound, fmt.Sprintf("function %s has no alias %s", f.Name, name), "")
}
