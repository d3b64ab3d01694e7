package fgsapi

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"deed/domain"
	"deed/projections/functions"
	"deed/runtime/files"
)

// Quotas of a project (FunctionGraph's).
const (
	maxFunctions   = 400
	maxVersions    = 20 // latest included
	maxAliases     = 10
	maxCodeSize    = 10 << 30 // bytes of all versions
	maxDescription = 512      // characters
)

// defaultInstances is how many attempts of a function that is made here may run at once, if nothing else was said
// (FunctionGraph's).
const defaultInstances = 400

func (s *Server) createFunction(c *call) error {
	d, set, err := c.read()
	if err != nil {
		return err
	}
	if err := CheckName(d.FuncName); err != nil {
		return err
	}
	if d.Package == "" {
		d.Package = DefaultPackage
	}
	if err := CheckPackage(d.Package); err != nil {
		return err
	}
	id := domain.FunctionID{Region: s.Region, Project: c.project, Package: d.Package, Name: d.FuncName}
	if n := len(id.Version(Latest)); n > maxURN {
		return fault("FSS.1309", fmt.Sprintf("the URN would have %d characters; the limit is %d", n, maxURN))
	}
	v := functions.Version{Limits: domain.DefaultLimits()}
	if err := d.apply(&v, true); err != nil {
		return err
	}
	if _, exists := s.Registry.State(id); exists {
		return fault("FSS.1061", "")
	}
	if err := s.quota(c.project); err != nil {
		return err
	}
	code, kept, err := s.keep(c.r.Context(), d, v.Limits)
	if err != nil {
		return err
	}
	said, err := about{}.merge(set).code(code, kept, d.CodeType, d.CodeFilename).encode()
	if err != nil {
		return err
	}
	most := defaultInstances
	if n := d.Strategy.max(); n != nil {
		most = *n
	}
	s.creating.Lock() // or those that come at once would pass the quota together
	defer s.creating.Unlock()
	if err := s.quota(c.project); err != nil {
		return err
	}
	f, err := s.Door.Change(c.r.Context(), id, func(now functions.Function, exists bool) (domain.Event, error) {
		if exists {
			return nil, fault("FSS.1061", "")
		}
		return domain.FunctionDeployed{
			Function: now.ID, Expected: now.Revision, Version: Latest, Code: kept.Code, Size: kept.Size, Files: kept.Files, Limits: v.Limits, Env: v.Env, Agency: v.Agency, About: said,
			Limited: true, Max: most,
		}, nil
	})
	if err != nil {
		return err
	}
	out := s.show(f, f.Head)
	out["func_urn"] = f.ID.Version(Latest)
	return c.reply(http.StatusOK, out)
}

// quota refuses a function over what a project may have.
func (s *Server) quota(project string) error {
	all := s.Registry.List(project)
	if len(all) >= maxFunctions {
		return fault("FSS.1041", fmt.Sprintf("the project has %d functions; the quota is %d", len(all), maxFunctions))
	}
	if size := codeSize(all); size >= maxCodeSize {
		return fault("FSS.1042", fmt.Sprintf("the code of the project has %d bytes; the quota is %d", size, int64(maxCodeSize)))
	}
	return nil
}

// sizeOf is how much code a version has: its module, and its files.
func sizeOf(v functions.Version) int64 { return v.Size + v.Files.Size }

func codeSize(all []functions.Function) (n int64) {
	for _, f := range all {
		n += sizeOf(f.Head)
		for _, v := range f.Versions {
			n += sizeOf(v)
		}
	}
	return n
}

func (s *Server) updateCode(c *call) error {
	d, set, err := c.read()
	if err != nil {
		return err
	}
	ref, f, err := s.changeable(c)
	if err != nil {
		return err
	}
	if size := codeSize(s.Registry.List(c.project)); size >= maxCodeSize {
		return fault("FSS.1042", fmt.Sprintf("the code of the project has %d bytes; the quota is %d", size, int64(maxCodeSize)))
	}
	code, kept, err := s.keep(c.r.Context(), d, f.Head.Limits)
	if err != nil {
		return err
	}
	f, err = s.Door.Change(c.r.Context(), ref.Function, func(now functions.Function, exists bool) (domain.Event, error) {
		if !exists {
			return nil, fault("FSS.1051", "")
		}
		v := now.Head
		only := settings{}
		if key, ok := set["code_encrypt_kms_key_id"]; ok {
			only["code_encrypt_kms_key_id"] = key
		}
		said, err := aboutOf(v).merge(only).code(code, kept, d.CodeType, d.CodeFilename).encode()
		return domain.FunctionDeployed{
			Function: now.ID, Expected: now.Revision, Version: Latest, Code: kept.Code, Size: kept.Size, Files: kept.Files, Limits: v.Limits, Env: v.Env, Agency: v.Agency, About: said,
		}, err
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, s.showCodeOf(f, f.Head, nil))
}

func (s *Server) updateConfig(c *call) error {
	d, set, err := c.read()
	if err != nil {
		return err
	}
	ref, _, err := s.changeable(c)
	if err != nil {
		return err
	}
	if d.FuncName != "" && d.FuncName != ref.Function.Name {
		return fault("FSS.1002", "func_name names another function than the path: a function keeps its name")
	}
	f, err := s.Door.Change(c.r.Context(), ref.Function, func(now functions.Function, exists bool) (domain.Event, error) {
		if !exists {
			return nil, fault("FSS.1051", "")
		}
		v := now.Head
		if d.Runtime == "" {
			d.Runtime = settings(aboutOf(v).Settings).text("runtime")
		}
		if err := d.apply(&v, false); err != nil {
			return nil, err
		}
		if err := agencyStays(now.Head, v); err != nil {
			return nil, err
		}
		said, err := aboutOf(v).merge(set).encode()
		e := domain.FunctionDeployed{
			Function: now.ID, Expected: now.Revision, Version: Latest, Code: v.Code, Size: v.Size, Files: v.Files, Limits: v.Limits, Env: v.Env, Agency: v.Agency, About: said,
		}
		if most := d.Strategy.max(); most != nil {
			e.Limited, e.Max = true, *most
		}
		return e, err
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, s.show(f, f.Head))
}

// agencyStays refuses to take the agency from a version that addresses a target.
func agencyStays(old, changed functions.Version) error {
	if changed.Agency == "" && old.Agency != "" && (old.Policy.OnSuccess != "" || old.Policy.OnFailure != "") {
		return fault("FSS.1021", fmt.Sprintf("the asynchronous configuration addresses %s, for which the function needs its agency (xrole): remove the destination first",
			strings.Trim(string(old.Policy.OnSuccess)+" "+string(old.Policy.OnFailure), " ")))
	}
	return nil
}

// changeable is the function of the path, if it is one whose code and configuration may change: a published version's may
// not.
func (s *Server) changeable(c *call) (Ref, functions.Function, error) {
	ref, f, err := s.function(c)
	if err == nil && (ref.Alias || ref.Qualifier != Latest) {
		err = fault("FSS.1015", fmt.Sprintf("%s names a version that stays as it is: change the function itself, or its version latest", short(ref.Qualifier, 70)))
	}
	return ref, f, err
}

func (s *Server) showConfig(c *call) error {
	_, f, v, err := s.version(c)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, s.show(f, v))
}

func (s *Server) showCode(c *call) error {
	_, f, v, err := s.version(c)
	if err != nil {
		return err
	}
	code, err := s.Door.Blobs.Get(c.r.Context(), v.Code)
	if err == nil && !v.Files.None() {
		var archive []byte
		if archive, err = s.Door.Blobs.Get(c.r.Context(), v.Files.Digest); err == nil {
			return s.showArchive(c, f, v, code, archive)
		}
	}
	if err != nil {
		return domain.Reject(domain.CodeUnavailable, "the code cannot be read: "+err.Error(), "")
	}
	return c.reply(http.StatusOK, s.showCodeOf(f, v, code))
}

// showArchive answers with the module and the files of a version as one archive.
func (s *Server) showArchive(c *call, f functions.Function, v functions.Version, module, archive []byte) error {
	tree, err := files.Open(archive)
	if err != nil {
		return fmt.Errorf("files of %s: %w", f.ID.Version(v.Version), err)
	}
	code, err := repack(module, tree)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, s.showCodeOf(f, v, code))
}

func (s *Server) deleteFunction(c *call) error {
	ref, f, err := s.function(c)
	switch {
	case err != nil:
		return err
	case ref.Alias:
		return fault("FSS.1015", "the URN names an alias: delete the alias, or name its version")
	case ref.Qualified && ref.Qualifier == Latest:
		return fault("FSS.1015", "the version latest cannot be deleted alone: name the function without it to delete the whole")
	case ref.Qualified:
		if err := deletable(f, ref.Qualifier); err != nil {
			return err
		}
		_, err = s.change(c, ref.Function, func(now functions.Function) (domain.Event, error) {
			return domain.VersionDeleted{Function: now.ID, Expected: now.Revision, Version: ref.Qualifier}, deletable(now, ref.Qualifier)
		})
	default:
		err = s.Door.Delete(c.r.Context(), ref.Function)
	}
	if err != nil {
		return err
	}
	return c.empty(http.StatusNoContent)
}

func deletable(f functions.Function, version string) error {
	if _, ok := f.Version(version); !ok {
		return fault("FSS.1052", "")
	}
	for _, a := range f.Aliases {
		if a.Other == version {
			return fault("FSS.1094", fmt.Sprintf("alias %s has the version for its additional version", a.Name))
		}
		if a.Version == version {
			return fault("FSS.1066", fmt.Sprintf("alias %s names the version: delete the alias first", a.Name))
		}
	}
	return nil
}

// change makes a change of a function that exists.
func (s *Server) change(c *call, f domain.FunctionID, event func(now functions.Function) (domain.Event, error)) (functions.Function, error) {
	return s.Door.Change(c.r.Context(), f, func(now functions.Function, exists bool) (domain.Event, error) {
		if !exists {
			return nil, fault("FSS.1051", "")
		}
		return event(now)
	})
}

func (s *Server) listFunctions(c *call) error {
	q := c.r.URL.Query()
	marker, err := number(q.Get("marker"), "marker", 0, 0, 1<<31-1)
	if err != nil {
		return err
	}
	most, err := strconv.Atoi(q.Get("maxitems"))
	if q.Get("maxitems") != "" && (err != nil || most < 0) {
		return fault("FSS.1001", fmt.Sprintf("maxitems %q is not a number from 0 on", short(q.Get("maxitems"), 20)))
	}
	if most == 0 || most > maxFunctions {
		most = maxFunctions
	}
	var all []functions.Function
	for _, f := range s.Registry.List(c.project) {
		if p := q.Get("package_name"); (p == "" || p == f.ID.Package) && strings.Contains(f.ID.Name, q.Get("func_name")) {
			all = append(all, f)
		}
	}
	page, next := window(all, marker, most)
	out := []object{}
	for _, f := range page {
		out = append(out, s.show(f, f.Head))
	}
	answer := object{"functions": out, "count": len(all)}
	if next > 0 {
		answer["next_marker"] = next
	}
	return c.reply(http.StatusOK, answer)
}

// window is a page of a list, and where the next one begins; 0 if there is none.
func window[T any](all []T, from, most int) (page []T, next int) {
	from = min(max(from, 0), len(all))
	to := min(from+most, len(all))
	if to < len(all) {
		next = to
	}
	return all[from:to], next
}

// number reads a query parameter.
func number(s, name string, otherwise, low, high int) (int, error) {
	if s == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		return 0, fault("FSS.1001", fmt.Sprintf("%s %q is out of range: allowed are %d to %d", name, short(s, 20), low, high))
	}
	return n, nil
}
