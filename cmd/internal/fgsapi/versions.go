package fgsapi

import (
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"deed/domain"
	"deed/projections/functions"
)

// versionLayout is the name of a version that is published without one: when.
const versionLayout = "v20060102-150405"

func (s *Server) publish(c *call) error {
	ref, _, err := s.changeable(c)
	if err != nil {
		return err
	}
	var in struct {
		Version     string `json:"version"`
		Description string `json:"description"`
		// A digest may be sent, too; by the published words it is an MD5, of what is not said. It is not looked at.
	}
	if len(c.body) > 0 {
		if err := c.decode(&in); err != nil {
			return err
		}
	}
	at, chosen := s.Now().UTC(), in.Version == ""
	if chosen {
		in.Version = at.Format(versionLayout)
	}
	if err := CheckVersion(in.Version); err != nil {
		return err
	}
	if utf8.RuneCountInString(in.Description) > maxDescription {
		return fault("FSS.1019", fmt.Sprintf("the description has more than %d characters", maxDescription))
	}
	f, err := s.change(c, ref.Function, func(now functions.Function) (domain.Event, error) {
		for _, taken := now.Version(in.Version); taken; _, taken = now.Version(in.Version) {
			if !chosen {
				return nil, fault("FSS.1062", "")
			}
			at = at.Add(time.Second)
			in.Version = at.Format(versionLayout)
		}
		if n := len(now.Versions) + 1; n >= maxVersions && !allNumbered(now) {
			return nil, fault("FSS.0403", fmt.Sprintf("the function has %d versions; the quota is %d, latest included", n, maxVersions))
		}
		for _, v := range now.Versions {
			if v.Serial == now.Head.Serial && !v.Numbered {
				return nil, fault("FSS.1016", "nothing has changed since version "+v.Version+": there is nothing to publish")
			}
		}
		return domain.VersionPublished{Function: now.ID, Expected: now.Revision, Version: in.Version, Description: in.Description}, nil
	})
	if err != nil {
		return err
	}
	v, _ := f.Version(in.Version)
	out := s.show(f, v)
	out["version_description"] = v.Description
	withConfig(out, f, v)
	return c.reply(http.StatusOK, out)
}

// allNumbered reports whether the versions are native deployments, which have no quota.
func allNumbered(f functions.Function) bool {
	n := 0
	for _, v := range f.Versions {
		if !v.Numbered {
			n++
		}
	}
	return n+1 < maxVersions
}

// withConfig adds a version's asynchronous configuration, if it has one.
func withConfig(out object, f functions.Function, v functions.Version) {
	if v.Policy.Set {
		config := configOf(f, v)
		delete(config, "func_urn")
		out["function_async_config"] = config
	}
}

func (s *Server) listVersions(c *call) error {
	_, f, err := s.function(c)
	if err != nil {
		return err
	}
	q := c.r.URL.Query()
	marker, err := number(q.Get("marker"), "marker", 0, 0, 1<<31-1)
	if err != nil {
		return err
	}
	most, err := number(q.Get("maxitems"), "maxitems", maxFunctions, 0, 1<<31-1)
	if err != nil {
		return err
	}
	if most == 0 || most > maxFunctions {
		most = maxFunctions
	}
	page, next := window(versionsOf(f), marker, most)
	out := []object{}
	for _, v := range page {
		shown := s.show(f, v)
		shown["version_description"] = v.Description
		withConfig(shown, f, v)
		out = append(out, shown)
	}
	answer := object{"versions": out, "count": len(f.Versions) + 1}
	if next > 0 {
		answer["next_marker"] = next
	}
	return c.reply(http.StatusOK, answer)
}
