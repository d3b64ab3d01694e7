package fgsapi

import (
	"fmt"
	"net/http"

	"deed/domain"
	"deed/projections/functions"
)

// max is the limit that a strategy sets; nil if it sets none.
func (s *strategy) max() *int {
	if s == nil {
		return nil
	}
	return s.Concurrency
}

// strategy is a function's strategy_config. How many requests an instance takes at once is always one here.
type strategy struct {
	Concurrency *int `json:"concurrency"`
	PerInstance int  `json:"concurrent_num"`
}

// limit sets how many attempts of a function may run at once, if that is asked for and is not so already.
func (s *Server) limit(c *call, f functions.Function, most *int) (functions.Function, error) {
	if most == nil || *most == f.MaxInstances {
		return f, nil
	}
	if err := checkMax(*most); err != nil {
		return f, err
	}
	return s.change(c, f.ID, func(now functions.Function) (domain.Event, error) {
		return domain.ConcurrencyLimited{Function: now.ID, Expected: now.Revision, Max: *most}, nil
	})
}

func checkMax(n int) error {
	if n < domain.NoMaxInstances || n > domain.MaxMaxInstances {
		return fault("FSS.1026", fmt.Sprintf("concurrency %d is out of range: allowed are -1 (no limit), 0 (disabled) and 1 to %d", n, domain.MaxMaxInstances))
	}
	return nil
}

func (s *Server) setMaxInstances(c *call) error {
	_, f, v, err := s.version(c)
	if err != nil {
		return err
	}
	var in struct {
		Max *int `json:"max_instance_num"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Max == nil {
		return fault("FSS.1026", "max_instance_num is missing: -1 (no limit), 0 (disabled) or 1 to 1000")
	}
	if f, err = s.limit(c, f, in.Max); err != nil {
		return err
	}
	return c.reply(http.StatusOK, s.show(f, v))
}
