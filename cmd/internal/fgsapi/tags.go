package fgsapi

import (
	"fmt"
	"net/http"
	"slices"
	"sort"
	"unicode/utf8"

	"deed/domain"
	"deed/projections/functions"
)

// Limits of tags (FunctionGraph's).
const (
	maxTags     = 20
	maxTagName  = 128 // characters
	maxTagValue = 255
)

type tagged struct {
	Tags []keyValue `json:"tags"`
}

type keyValue struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// retag changes a function's tags.
func (s *Server) retag(c *call, change func(now []domain.EnvVar, sent []keyValue) []domain.EnvVar) error {
	ref, _, err := s.function(c)
	if err != nil {
		return err
	}
	var in tagged
	if err := c.decode(&in); err != nil {
		return err
	}
	for _, t := range in.Tags {
		if n := utf8.RuneCountInString(t.Key); n == 0 || n > maxTagName || utf8.RuneCountInString(t.Value) > maxTagValue {
			return fault("FSS.0400", fmt.Sprintf("tag %q: a key has 1 to %d characters, a value at most %d", short(t.Key, 40), maxTagName, maxTagValue))
		}
	}
	if _, err = s.change(c, ref.Function, func(now functions.Function) (domain.Event, error) {
		tags := change(slices.Clone(now.Tags), in.Tags)
		if len(tags) > maxTags {
			return nil, fault("FSS.0403", fmt.Sprintf("the function would have %d tags; the quota is %d", len(tags), maxTags))
		}
		return domain.FunctionTagged{Function: now.ID, Expected: now.Revision, Tags: tags}, nil
	}); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent)
}

func (s *Server) createTags(c *call) error {
	return s.retag(c, func(now []domain.EnvVar, sent []keyValue) []domain.EnvVar {
		for _, t := range sent {
			if i := slices.IndexFunc(now, func(v domain.EnvVar) bool { return v.Name == t.Key }); i >= 0 {
				now[i].Value = t.Value
			} else {
				now = append(now, domain.EnvVar{Name: t.Key, Value: t.Value})
			}
		}
		return now
	})
}

func (s *Server) deleteTags(c *call) error {
	return s.retag(c, func(now []domain.EnvVar, sent []keyValue) []domain.EnvVar {
		return slices.DeleteFunc(now, func(v domain.EnvVar) bool {
			return slices.ContainsFunc(sent, func(t keyValue) bool { return t.Key == v.Name })
		})
	})
}

func (s *Server) listTags(c *call) error {
	_, f, err := s.function(c)
	if err != nil {
		return err
	}
	out := []keyValue{}
	for _, t := range f.Tags {
		out = append(out, keyValue{t.Name, t.Value})
	}
	return c.reply(http.StatusOK, object{"tags": out, "sys_tags": []keyValue{}})
}

func (s *Server) listProjectTags(c *call) error {
	values := map[string][]string{}
	for _, f := range s.Registry.List(c.project) {
		for _, t := range f.Tags {
			if !slices.Contains(values[t.Name], t.Value) {
				values[t.Name] = append(values[t.Name], t.Value)
			}
		}
	}
	out := []object{}
	for name, vs := range values {
		sort.Strings(vs)
		out = append(out, object{"key": name, "values": vs})
	}
	sort.Slice(out, func(i, j int) bool { return out[i]["key"].(string) < out[j]["key"].(string) }) //nolint:forcetypeassert // made above
	return c.reply(http.StatusOK, object{"tags": out, "sys_tags": []object{}})
}
