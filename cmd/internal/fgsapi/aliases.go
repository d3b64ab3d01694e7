package fgsapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"deed/domain"
	"deed/projections/functions"
)

// alias is an alias as clients send and get it.
type alias struct {
	Name         string             `json:"name"`
	Version      string             `json:"version"`
	Description  string             `json:"description"`
	LastModified string             `json:"last_modified,omitempty"`
	URN          string             `json:"alias_urn,omitempty"`
	Weights      map[string]int     `json:"additional_version_weights,omitempty"`
	Strategy     map[string]ruleset `json:"additional_version_strategy,omitempty"`
}

// ruleset chooses the additional version by headers and cookies.
type ruleset struct {
	Rules   []rule `json:"rules"`
	Combine string `json:"combine_type"` // and, or
}

type rule struct {
	Type  string `json:"rule_type"` // header, cookie
	Param string `json:"param"`
	Op    string `json:"op"` // =, in
	Value string `json:"value"`
}

// maxRules is how many rules an alias may have.
const maxRules = 20

// parse is the alias, checked as far as it can be by itself.
func (a alias) parse() (domain.Alias, error) {
	out := domain.Alias{Name: a.Name, Version: a.Version, Description: a.Description}
	if err := CheckAlias(a.Name); err != nil {
		return out, err
	}
	if a.Version == "" {
		return out, fault("FSS.1015", "version is missing: the alias is to name one")
	}
	if utf8.RuneCountInString(a.Description) > maxDescription {
		return out, fault("FSS.1019", fmt.Sprintf("the description has more than %d characters", maxDescription))
	}
	if len(a.Weights) > 1 || len(a.Strategy) > 1 || len(a.Weights) > 0 && len(a.Strategy) > 0 && !sameKey(a.Weights, a.Strategy) {
		return out, fault("FSS.1091", "there is more than one additional version: one is allowed")
	}
	for version, weight := range a.Weights {
		if weight < 0 || weight > 100 {
			return out, fault("FSS.1092", fmt.Sprintf("weight %d is out of range: allowed are 0 to 100 percent", weight))
		}
		out.Other, out.Weight = version, weight
	}
	for version, set := range a.Strategy {
		out.Other = version
		if len(set.Rules) > maxRules {
			return out, fault("FSS.0400", fmt.Sprintf("the strategy has %d rules; the limit is %d", len(set.Rules), maxRules))
		}
		switch set.Combine {
		case "and", "":
		case "or":
			out.AnyRule = true
		default:
			return out, fault("FSS.0400", fmt.Sprintf("combine_type %q: allowed are and and or", short(set.Combine, 20)))
		}
		for _, r := range set.Rules {
			parsed, err := r.parse()
			if err != nil {
				return out, err
			}
			out.Rules = append(out.Rules, parsed)
		}
	}
	if out.Other == Latest {
		return out, fault("FSS.1091", "latest cannot be the additional version")
	}
	if out.Other != "" && out.Other == out.Version {
		return out, fault("FSS.1093", "")
	}
	return out, nil
}

func sameKey(weights map[string]int, strategy map[string]ruleset) bool {
	for v := range weights {
		_, ok := strategy[v]
		return ok
	}
	return false
}

func (r rule) parse() (domain.AliasRule, error) {
	out := domain.AliasRule{Kind: r.Type, Param: r.Param, Op: r.Op, Values: []string{r.Value}}
	if r.Type != "header" && r.Type != "cookie" || r.Param == "" {
		return out, fault("FSS.0400", fmt.Sprintf("rule_type %q, param %q: a rule looks at a header or a cookie by its name", short(r.Type, 20), short(r.Param, 60)))
	}
	switch r.Op {
	case "=":
	case "in":
		out.Values = nil
		for v := range strings.SplitSeq(r.Value, ",") {
			out.Values = append(out.Values, strings.TrimSpace(v))
		}
	default:
		return out, fault("FSS.0400", fmt.Sprintf("op %q: allowed are = and in", short(r.Op, 20)))
	}
	return out, nil
}

// setAlias makes or replaces an alias.
func (s *Server) setAlias(c *call, in alias, fresh bool) error {
	ref, _, err := s.function(c)
	if err != nil {
		return err
	}
	a, err := in.parse()
	if err != nil {
		return err
	}
	kept, err := json.Marshal(alias{Weights: in.Weights, Strategy: in.Strategy})
	if err != nil {
		return err
	}
	a.Shown = string(kept)
	f, err := s.change(c, ref.Function, func(now functions.Function) (domain.Event, error) {
		_, exists := now.Alias(a.Name)
		switch {
		case fresh && exists:
			return nil, fault("FSS.1063", "")
		case !fresh && !exists:
			return nil, fault("FSS.1053", "")
		case fresh && len(now.Aliases) >= maxAliases:
			return nil, fault("FSS.1043", fmt.Sprintf("the function has %d aliases; the quota is %d", len(now.Aliases), maxAliases))
		}
		if _, ok := now.Version(a.Version); !ok {
			return nil, fault("FSS.1052", fmt.Sprintf("Not found the function version %s", short(a.Version, 50)))
		}
		if _, ok := now.Version(a.Other); !ok && a.Other != "" {
			return nil, fault("FSS.1091", fmt.Sprintf("the additional version %s is not there", short(a.Other, 50)))
		}
		for _, other := range now.Aliases {
			if other.Name != a.Name && other.Version == a.Version {
				return nil, fault("FSS.1066", fmt.Sprintf("version %s has the alias %s already", a.Version, other.Name))
			}
		}
		return domain.AliasSet{Function: now.ID, Expected: now.Revision, Alias: a}, nil
	})
	if err != nil {
		return err
	}
	set, _ := f.Alias(a.Name)
	return c.reply(http.StatusOK, aliasOf(f, set))
}

func aliasOf(f functions.Function, a functions.Alias) alias {
	out := alias{}
	_ = json.Unmarshal([]byte(a.Shown), &out) // ours
	out.Name, out.Version, out.Description = a.Name, a.Version, a.Description
	out.LastModified, out.URN = zuluTime(a.SetAt), f.ID.Version("!"+a.Name)
	return out
}

func (s *Server) createAlias(c *call) error {
	var in alias
	if err := c.decode(&in); err != nil {
		return err
	}
	return s.setAlias(c, in, true)
}

func (s *Server) updateAlias(c *call) error {
	var in alias
	if err := c.decode(&in); err != nil {
		return err
	}
	in.Name = c.path["alias_name"]
	return s.setAlias(c, in, false)
}

func (s *Server) alias(c *call) (Ref, functions.Function, functions.Alias, error) {
	ref, f, err := s.function(c)
	if err != nil {
		return ref, f, functions.Alias{}, err
	}
	a, ok := f.Alias(c.path["alias_name"])
	if !ok {
		return ref, f, a, fault("FSS.1053", "")
	}
	return ref, f, a, nil
}

func (s *Server) showAlias(c *call) error {
	_, f, a, err := s.alias(c)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, aliasOf(f, a))
}

// listAliases answers with a list: of this operation the clients take nothing else.
func (s *Server) listAliases(c *call) error {
	_, f, err := s.function(c)
	if err != nil {
		return err
	}
	out := []alias{}
	for _, a := range f.Aliases {
		out = append(out, aliasOf(f, a))
	}
	return c.reply(http.StatusOK, out)
}

func (s *Server) deleteAlias(c *call) error {
	ref, _, a, err := s.alias(c)
	if err != nil {
		return err
	}
	_, err = s.change(c, ref.Function, func(now functions.Function) (domain.Event, error) {
		if _, ok := now.Alias(a.Name); !ok {
			return nil, fault("FSS.1053", "")
		}
		return domain.AliasDeleted{Function: now.ID, Expected: now.Revision, Name: a.Name}, nil
	})
	if err != nil {
		return err
	}
	return c.empty(http.StatusNoContent)
}
