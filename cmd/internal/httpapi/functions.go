package httpapi

import (
	"fmt"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"time"

	"deed/domain"
	"deed/projections/functions"
)

// deploy takes the module as the body, or the module and the function's files as the parts of one, and the limits as query
// parameters: timeout (a duration), fuel (units), memory and max_output (bytes, or with KiB, MiB, GiB), env=NAME=VALUE as
// often as needed.
func (s *Server) deploy(w http.ResponseWriter, r *http.Request) error {
	if err := domain.CheckFunctionName(r.PathValue("name")); err != nil {
		return err
	}
	q := r.URL.Query()
	for k := range q {
		if k != "timeout" && k != "memory" && k != "max_output" && k != "fuel" && k != "env" {
			return domain.Reject(domain.CodeInvalid, fmt.Sprintf("there is no option %q", k), "the options are timeout, memory, max_output, fuel and env")
		}
	}
	limits := domain.DefaultLimits()
	var err error
	if v := q.Get("timeout"); v != "" {
		if limits.Timeout, err = time.ParseDuration(v); err != nil {
			return domain.Reject(domain.CodeInvalid, fmt.Sprintf("timeout %q is not a duration", v), "write it like 30s or 1m30s")
		}
	}
	if v := q.Get("memory"); v != "" {
		if limits.Memory, err = ParseSize(v); err != nil {
			return domain.Reject(domain.CodeInvalid, "memory: "+err.Error(), "")
		}
	}
	if v := q.Get("max_output"); v != "" {
		if limits.MaxOutput, err = ParseSize(v); err != nil {
			return domain.Reject(domain.CodeInvalid, "max_output: "+err.Error(), "")
		}
	}
	if v := q.Get("fuel"); v != "" {
		if limits.Fuel, err = strconv.ParseInt(v, 10, 64); err != nil {
			return domain.Reject(domain.CodeInvalid, fmt.Sprintf("fuel %q is not a number", v), "")
		}
	}
	var env []domain.EnvVar
	for _, v := range q["env"] {
		k, value, ok := strings.Cut(v, "=")
		if !ok {
			return domain.Reject(domain.CodeInvalid, fmt.Sprintf("env %q is not NAME=VALUE", v), "")
		}
		env = append(env, domain.EnvVar{Name: k, Value: value})
	}
	c, err := code(w, r)
	if err != nil {
		return err
	}
	f, err := s.Door.Deploy(r.Context(), s.name(r), c, limits, env)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, functionOf(f))
}

// ParseSize reads a number of bytes: 1048576, 64KiB, 128MiB, 1GiB.
func ParseSize(s string) (int64, error) {
	unit := int64(1)
	num := s
	for suffix, u := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			num, unit = rest, u
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(num), 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return 0, fmt.Errorf("%q is not a size (like 65536, 64KiB or 128MiB)", s)
	}
	return n * unit, nil
}

func (s *Server) functions(w http.ResponseWriter, r *http.Request) error {
	out := []Function{}
	for _, f := range s.Registry.List(callerOf(r).project) {
		out = append(out, functionOf(f))
	}
	return reply(w, http.StatusOK, map[string]any{"functions": out})
}

func (s *Server) function(w http.ResponseWriter, r *http.Request) error {
	f, err := s.Registry.Get(s.name(r))
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, functionOf(f))
}

func (s *Server) deleteFunction(w http.ResponseWriter, r *http.Request) error {
	if err := s.Door.Delete(r.Context(), s.name(r)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) setPolicy(w http.ResponseWriter, r *http.Request) error {
	b, err := body(w, r, 16<<10, "the policy")
	if err != nil {
		return err
	}
	var in Policy
	if err := strict(b, &in); err != nil {
		return err
	}
	p := domain.Policy{
		Set: true, MaxRetries: domain.DefaultMaxRetries, MaxAge: domain.DefaultMaxAge,
		OnSuccess: domain.Target(in.OnSuccess), OnFailure: domain.Target(in.OnFailure),
	}
	if in.MaxRetries != nil {
		p.MaxRetries = *in.MaxRetries
	}
	if in.MaxAge != nil {
		p.MaxAge = time.Duration(min(max(*in.MaxAge, -1), 1<<32)) * time.Second
	}
	f, err := s.Door.SetPolicy(r.Context(), s.name(r), p)
	if err != nil {
		return err
	}
	out := functionOf(f)
	out.Warnings = s.undeployed(f)
	return reply(w, http.StatusOK, out)
}

// undeployed names targets that do not exist yet: their notifications wait until they do.
func (s *Server) undeployed(f functions.Function) (warnings []string) {
	for _, t := range []domain.Target{f.Policy().OnSuccess, f.Policy().OnFailure} {
		if to, _, ok := t.Function(f.ID); ok {
			if _, err := s.Registry.Get(to); err != nil {
				warnings = append(warnings, fmt.Sprintf("function %s is not deployed: notifications wait for it, at most %s", to.Name, domain.NotificationValidity))
			}
		}
	}
	sort.Strings(warnings)
	return warnings
}

func (s *Server) policy(w http.ResponseWriter, r *http.Request) error {
	f, err := s.Registry.Get(s.name(r))
	if err != nil {
		return err
	}
	if !f.Policy().Set {
		return domain.Reject(domain.CodeNotFound, fmt.Sprintf("function %s has no policy", f.ID.Name),
			"without one, errors of the code are not retried and nobody is told of outcomes; deed policy set "+f.ID.Name+" makes one")
	}
	return reply(w, http.StatusOK, policyOf(f.Policy()))
}

func (s *Server) unsetPolicy(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.Door.SetPolicy(r.Context(), s.name(r), domain.Policy{}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
