package fgsapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"deed/domain"
	"deed/projections/functions"
)

// maxReserved is how many instances of a version may be reserved.
const maxReserved = 1000

// tactics say when how many instances are wanted. They are kept and given back.
type tactics struct {
	Cron []struct {
		Name    string `json:"name,omitempty"`
		Cron    string `json:"cron,omitempty"`
		Count   int32  `json:"count"`
		Start   int64  `json:"start_time,omitempty"`
		Expired int64  `json:"expired_time,omitempty"`
	} `json:"cron_configs,omitempty"`
	Metric []struct {
		Name      string `json:"name,omitempty"`
		Type      string `json:"type,omitempty"`
		Threshold int32  `json:"threshold"`
		Min       int32  `json:"min"`
	} `json:"metric_configs,omitempty"`
}

// reserve keeps the wish, and the version's code loaded on every node. Instances are not kept: every attempt has a fresh one,
// which costs less than keeping one would.
func (s *Server) reserve(c *call) error {
	ref, _, _, err := s.version(c)
	if err != nil {
		return err
	}
	var in struct {
		Count    *int     `json:"count"`
		IdleMode *bool    `json:"idle_mode,omitempty"`
		Tactics  *tactics `json:"tactics_config,omitempty"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Count == nil || *in.Count < 0 || *in.Count > maxReserved {
		return fault("FSS.0400", fmt.Sprintf("count is missing or out of range: allowed are 0 to %d", maxReserved))
	}
	shown, err := json.Marshal(in)
	if err != nil {
		return err
	}
	if len(shown) > maxShown {
		return fault("FSS.0413", fmt.Sprintf("the configuration has %d bytes; the limit is %d", len(shown), maxShown))
	}
	name := ref.Qualifier
	if ref.Alias {
		name = "!" + name
	}
	if _, err = s.change(c, ref.Function, func(now functions.Function) (domain.Event, error) {
		return domain.InstancesReserved{Function: now.ID, Expected: now.Revision, Qualifier: name, Count: *in.Count, Shown: string(shown)}, nil
	}); err != nil {
		return err
	}
	return c.reply(http.StatusOK, in)
}

// reservations are a project's, or one function's.
func (s *Server) reservations(c *call, urn string) (all []reservation, err error) {
	fs := s.Registry.List(c.project)
	var ref Ref
	if urn != "" {
		if ref, err = ParseRef(urn, c.project, s.Region); err != nil {
			return nil, err
		}
		f, err := s.Registry.Get(ref.Function)
		if err != nil {
			return nil, fault("FSS.1051", "")
		}
		fs = []functions.Function{f}
	}
	for _, f := range fs {
		for _, r := range f.Reserved {
			name, isAlias := strings.CutPrefix(r.Qualifier, "!")
			if urn == "" || !ref.Qualified || ref.Qualifier == name && ref.Alias == isAlias {
				all = append(all, reservation{f, r, name, isAlias})
			}
		}
	}
	return all, nil
}

type reservation struct {
	f     functions.Function
	r     functions.Reserved
	name  string
	alias bool
}

// pageOf is the page of a list that marker and limit ask for.
func pageOf[T any](c *call, all []T) ([]T, object, error) {
	q := c.r.URL.Query()
	marker, err := number(q.Get("marker"), "marker", 0, 0, 1<<31-1)
	if err != nil {
		return nil, nil, err
	}
	limit, err := number(q.Get("limit"), "limit", 100, 0, 1<<31-1)
	if err != nil {
		return nil, nil, err
	}
	if limit == 0 || limit > 500 {
		limit = 500
	}
	page, next := window(all, marker, limit)
	return page, object{"next_marker": next, "previous_marker": max(0, marker-limit), "current_count": len(page)}, nil
}

func (s *Server) listReserved(c *call) error {
	all, err := s.reservations(c, c.r.URL.Query().Get("urn"))
	if err != nil {
		return err
	}
	page, info, err := pageOf(c, all)
	if err != nil {
		return err
	}
	out := []object{}
	for _, r := range page {
		out = append(out, object{"func_urn": r.f.ID.Version(r.r.Qualifier), "count": r.r.Count})
	}
	return c.reply(http.StatusOK, object{"reservedinstances": out, "page_info": info, "count": len(all)})
}

func (s *Server) listReservedConfigs(c *call) error {
	all, err := s.reservations(c, c.r.URL.Query().Get("function_urn"))
	if err != nil {
		return err
	}
	page, info, err := pageOf(c, all)
	if err != nil {
		return err
	}
	out := []object{}
	for _, r := range page {
		kind := "version"
		if r.alias {
			kind = "alias"
		}
		item := object{}
		_ = json.Unmarshal([]byte(r.r.Shown), &item) // ours
		delete(item, "count")
		item["function_urn"], item["qualifier_type"], item["qualifier_name"], item["min_count"] = r.f.ID.String(), kind, r.name, r.r.Count
		out = append(out, item)
	}
	return c.reply(http.StatusOK, object{"reserved_instances": out, "page_info": info, "count": len(all)})
}
