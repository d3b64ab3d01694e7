package fgsapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"deed/domain"
	"deed/projections/functions"
)

// asyncConfig is an asynchronous configuration as clients send it. Members that are absent have the defaults of the API
// definition: one retry, 3,600 s. What a client sent is kept beside the policy that is made of it, for it is compared as text.
type asyncConfig struct {
	MaxAge       *int64        `json:"max_async_event_age_in_seconds,omitempty"`
	MaxRetries   *int64        `json:"max_async_retry_attempts,omitempty"`
	Destinations *destinations `json:"destination_config,omitempty"`
	StatusLog    *bool         `json:"enable_async_status_log,omitempty"`
	LogGroupID   *string       `json:"log_group_id,omitempty"`
	LogStreamID  *string       `json:"log_stream_id,omitempty"`
	LogGroup     *string       `json:"log_group_name,omitempty"`
	LogStream    *string       `json:"log_stream_name,omitempty"`
}

type destinations struct {
	OnSuccess *destination `json:"on_success,omitempty"`
	OnFailure *destination `json:"on_failure,omitempty"`
}

type destination struct {
	Destination string `json:"destination"`
	Param       string `json:"param"` // a JSON object in a string
}

// The kinds of destinations.
const (
	toObjects   = "OBS"
	toFunction  = "FunctionGraph"
	toStream    = "DIS"
	toTopic     = "SMN"
	allKinds    = toObjects + ", " + toFunction + ", " + toStream
	maxParam    = 4 << 10 // bytes
	maxShown    = 16 << 10
	invalidCode = "FSS.0400"
)

// policy is what a configuration means. The error is a *Fault.
func (s *Server) policy(in asyncConfig, project string) (domain.Policy, error) {
	p := domain.Policy{Set: true, MaxRetries: domain.DefaultMaxRetries, MaxAge: domain.DefaultMaxAge}
	if in.MaxRetries != nil {
		if *in.MaxRetries < 0 || *in.MaxRetries > domain.MaxRetriesLimit {
			return p, fault(invalidCode, fmt.Sprintf("max_async_retry_attempts %d is out of range: allowed are 0 to %d", *in.MaxRetries, domain.MaxRetriesLimit))
		}
		p.MaxRetries = int(*in.MaxRetries)
	}
	if in.MaxAge != nil {
		limit := int64(domain.MaxAgeLimit / time.Second)
		if *in.MaxAge < 1 || *in.MaxAge > limit {
			return p, fault(invalidCode, fmt.Sprintf("max_async_event_age_in_seconds %d is out of range: allowed are 1 to %d", *in.MaxAge, limit))
		}
		p.MaxAge = time.Duration(*in.MaxAge) * time.Second
	}
	if in.Destinations == nil {
		return p, nil
	}
	var err error
	if p.OnSuccess, err = s.target(in.Destinations.OnSuccess, "on_success", project); err != nil {
		return p, err
	}
	p.OnFailure, err = s.target(in.Destinations.OnFailure, "on_failure", project)
	return p, err
}

// target is where a destination leads; "" for none.
func (s *Server) target(d *destination, which, project string) (domain.Target, error) {
	if d == nil || d.Destination == "" {
		return "", nil // clients write an empty destination for none
	}
	bad := func(words string) error {
		return fault(invalidCode, which+": destination "+short(d.Destination, 40)+": "+words)
	}
	if len(d.Param) > maxParam {
		return "", bad(fmt.Sprintf("param has %d bytes; the limit is %d", len(d.Param), maxParam))
	}
	var p struct {
		Bucket  string `json:"bucket"`
		Prefix  string `json:"prefix"`
		Expires *int   `json:"expires"`
		URN     string `json:"func_urn"`
		Stream  string `json:"stream_name"`
	}
	switch d.Destination {
	case toObjects, toFunction, toStream:
	case toTopic:
		return "", bad("it is not available yet on this server: use one of " + allKinds)
	default:
		return "", bad("there is no such kind: use one of " + allKinds)
	}
	if err := json.Unmarshal([]byte(d.Param), &p); err != nil {
		return "", bad("param is not a JSON object in a string: " + err.Error())
	}
	t, err := domain.Target(""), error(nil)
	switch d.Destination {
	case toStream:
		if p.Stream == "" {
			return "", bad("param has no stream_name")
		}
		t = domain.Target("dis:" + p.Stream)
	case toObjects:
		t = domain.Target("obs://" + p.Bucket)
		if prefix := strings.Trim(p.Prefix, "/"); prefix != "" {
			t += domain.Target("/" + prefix)
		}
		if p.Expires != nil && (*p.Expires < 0 || *p.Expires > domain.MaxExpires) {
			return "", bad(fmt.Sprintf("expires %d is out of range: allowed are 0 (never) to %d days", *p.Expires, domain.MaxExpires))
		}
		if p.Bucket == "" {
			return "", bad("param has no bucket")
		}
		if strings.ContainsAny(p.Bucket+p.Prefix, "?") {
			return "", bad("the bucket or the prefix has a question mark")
		}
		if p.Expires != nil && *p.Expires > 0 {
			t += domain.Target(fmt.Sprintf("?expires=%d", *p.Expires))
		}
	default:
		if t, err = s.functionTarget(p.URN, project); err != nil {
			return "", bad("func_urn: " + err.Error())
		}
	}
	if err := t.Check(); err != nil {
		return "", because(invalidCode, fmt.Errorf("%s: destination %s: %w", which, d.Destination, err))
	}
	return t, nil
}

// functionTarget is the target function of a URN, which must be there: a misspelt one would be found out by the first
// notification that reaches nobody.
func (s *Server) functionTarget(urn, project string) (domain.Target, error) {
	ref, err := ParseRef(urn, project, s.Region)
	if err != nil {
		return "", err
	}
	qualifier := ref.Qualifier
	switch {
	case ref.Alias:
		qualifier = "!" + qualifier
	case qualifier == Latest:
		qualifier = ""
	}
	if _, _, err := s.Registry.Deployment(ref.Function, qualifier, func(a domain.Alias) string { return a.Version }); err != nil {
		return "", err
	}
	return domain.FunctionTarget(ref.Function, qualifier), nil
}

func (s *Server) setAsyncConfig(c *call) error {
	ref, f, v, err := s.version(c)
	if err != nil {
		return err
	}
	if ref.Alias {
		return fault("FSS.1015", "an asynchronous configuration belongs to a version: name the alias's version")
	}
	var in asyncConfig
	if err := c.decode(&in); err != nil {
		return err
	}
	p, err := s.policy(in, c.project)
	if err != nil {
		return err
	}
	if err := s.Door.CheckTargets(f.ID, p); err != nil {
		return because(invalidCode, err)
	}
	if err := agencyFor(f, v, in.Destinations); err != nil {
		return err
	}
	in.MaxAge, in.MaxRetries = nil, nil
	shown, err := json.Marshal(in)
	if err != nil {
		return err
	}
	if len(shown) > maxShown {
		return fault("FSS.0413", fmt.Sprintf("the configuration has %d bytes; the limit is %d", len(shown), maxShown))
	}
	f, err = s.change(c, ref.Function, func(now functions.Function) (domain.Event, error) {
		v, ok := now.Version(ref.Qualifier)
		if !ok {
			return nil, fault("FSS.1052", "")
		}
		if err := agencyFor(now, v, in.Destinations); err != nil {
			return nil, err
		}
		if err := s.Registry.CheckCycle(now.ID, p); err != nil {
			return nil, because("FSS.0409", err)
		}
		return domain.PolicyChanged{Function: now.ID, Expected: now.Revision, Version: ref.Qualifier, Policy: p, Shown: string(shown)}, nil
	})
	if err != nil {
		return err
	}
	v, _ = f.Version(ref.Qualifier)
	return c.reply(http.StatusOK, configOf(f, v))
}

// agencyFor refuses a destination for which the function has no agency: delivery needs somebody's rights.
func agencyFor(f functions.Function, v functions.Version, d *destinations) error {
	if v.Agency != "" || d == nil {
		return nil
	}
	for _, to := range []struct {
		which string
		d     *destination
	}{{"on_success", d.OnSuccess}, {"on_failure", d.OnFailure}} {
		if to.d != nil && to.d.Destination != "" {
			return fault("FSS.1021", fmt.Sprintf("%s: destination %s %s needs an agency, and version %s of function %s has none: set xrole first",
				to.which, to.d.Destination, short(to.d.Param, 120), v.Version, f.ID.Name))
		}
	}
	return nil
}

func (s *Server) showAsyncConfig(c *call) error {
	_, f, v, err := s.version(c)
	if err != nil {
		return err
	}
	if !v.Policy.Set {
		return fault("FSS.0404", fmt.Sprintf("version %s of function %s has no asynchronous configuration", v.Version, f.ID.Name))
	}
	return c.reply(http.StatusOK, configOf(f, v))
}

func (s *Server) deleteAsyncConfig(c *call) error {
	ref, _, v, err := s.version(c)
	if err != nil {
		return err
	}
	_, err = s.change(c, ref.Function, func(now functions.Function) (domain.Event, error) {
		current, ok := now.Version(v.Version)
		if !ok || !current.Policy.Set {
			return nil, fault("FSS.0404", fmt.Sprintf("version %s of function %s has no asynchronous configuration", v.Version, now.ID.Name))
		}
		return domain.PolicyChanged{Function: now.ID, Expected: now.Revision, Version: v.Version}, nil
	})
	if err != nil {
		return err
	}
	return c.empty(http.StatusNoContent)
}

func (s *Server) listAsyncConfigs(c *call) error {
	_, f, err := s.function(c)
	if err != nil {
		return err
	}
	q := c.r.URL.Query()
	marker, err := number(q.Get("marker"), "marker", 0, 0, 1<<31-1)
	if err != nil {
		return err
	}
	limit, err := number(q.Get("limit"), "limit", 10, 0, 1<<31-1)
	if err != nil {
		return err
	}
	if limit == 0 {
		limit = 10
	}
	limit = min(limit, 100)
	all := []object{}
	for _, v := range versionsOf(f) {
		if v.Policy.Set {
			all = append(all, configOf(f, v))
		}
	}
	page, next := window(all, marker, limit)
	return c.reply(http.StatusOK, object{
		"async_invoke_configs": page, "count": len(all),
		"page_info": object{"next_marker": next, "previous_marker": max(0, marker-limit), "current_count": len(page)},
	})
}

// versionsOf is latest, then what was published, the newest first.
func versionsOf(f functions.Function) []functions.Version {
	out := []functions.Version{f.Head}
	for i := range f.Versions {
		out = append(out, f.Versions[len(f.Versions)-1-i])
	}
	return out
}

// configOf is a version's configuration as it was sent, or as its policy reads, if it was set natively.
func configOf(f functions.Function, v functions.Version) object {
	var in asyncConfig
	if v.PolicyShown == "" || json.Unmarshal([]byte(v.PolicyShown), &in) != nil {
		in.Destinations = &destinations{OnSuccess: destinationOf(f, v.Policy.OnSuccess), OnFailure: destinationOf(f, v.Policy.OnFailure)}
	}
	if in.Destinations == nil {
		in.Destinations = &destinations{}
	}
	return object{
		"func_urn": f.ID.Version(v.Version), "max_async_event_age_in_seconds": int64(v.Policy.MaxAge / time.Second), "max_async_retry_attempts": v.Policy.MaxRetries,
		"destination_config": in.Destinations, "created_time": zuluTime(v.PolicyMade), "last_modified": zuluTime(v.PolicyEdited),
		"enable_async_status_log": in.StatusLog != nil && *in.StatusLog,
	}
}

// destinationOf is a target that was set natively, as a client of this API would have sent it; nil for none.
func destinationOf(f functions.Function, t domain.Target) *destination {
	if t == "" {
		return nil
	}
	param := func(kind string, v any) *destination {
		b, _ := json.Marshal(v) // strings and numbers
		return &destination{kind, string(b)}
	}
	if to, qualifier, ok := t.Function(f.ID); ok {
		if qualifier == "" {
			qualifier = Latest
		}
		return param(toFunction, object{"func_urn": to.Version(qualifier)})
	}
	if name, ok := t.Stream(); ok {
		return param(toStream, object{"stream_name": name})
	}
	bucket, prefix, _ := t.Object()
	return param(toObjects, struct {
		Bucket  string `json:"bucket"`
		Prefix  string `json:"prefix"`
		Expires int    `json:"expires"`
	}{bucket, prefix, t.Expires()})
}
