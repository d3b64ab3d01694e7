package fgsapi

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"deed/domain"
	"deed/projections/functions"
	"deed/projections/invocations"
)

// Bounds of listings (FunctionGraph's).
const (
	listWindow   = time.Hour // before now, if the call names no beginning
	listLimit    = 100
	maxListLimit = 500
	maxRequests  = 10
	maxIDs       = 640 // characters of requests
	// behindWithin is how long the log's end is asked for, for a header.
	behindWithin = 2 * time.Second
)

func (s *Server) listInvocations(c *call) error {
	sel, err := s.selection(c)
	if err != nil {
		return err
	}
	if id := c.r.URL.Query().Get("request_id"); id != "" {
		if len(id) > 64 {
			return fault("FSS.1001", "request_id has more than 64 characters")
		}
		sel.IDs = idsOf(id)
	}
	return s.list(c, sel)
}

// listActive is the same of what has no outcome yet.
func (s *Server) listActive(c *call) error {
	sel, err := s.selection(c)
	if err != nil {
		return err
	}
	if ids := c.r.URL.Query().Get("requests"); ids != "" {
		if len(ids) > maxIDs || strings.Count(ids, ",") >= maxRequests {
			return fault("FSS.1001", fmt.Sprintf("requests has more than %d ids or %d characters", maxRequests, maxIDs))
		}
		sel.IDs = idsOf(strings.Split(ids, ",")...)
	}
	sel.Open = true
	return s.list(c, sel)
}

// idsOf are the ids among the words. What is none is an id that nobody has: the list is empty then, and not all there is.
func idsOf(words ...string) []domain.InvocationID {
	ids := []domain.InvocationID{}
	for _, w := range words {
		if id, err := domain.ParseInvocationID(strings.TrimSpace(w)); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// selection is what both lists are asked alike.
func (s *Server) selection(c *call) (sel invocations.Selection, err error) {
	ref, f, err := s.function(c)
	if err != nil {
		return sel, fault("FSS.0404", "")
	}
	sel.Function = f.ID
	if sel.Versions, err = versionsNamed(ref, f); err != nil {
		return sel, err
	}
	q := c.r.URL.Query()
	if word := q.Get("status"); word != "" {
		status, ok := statuses[word]
		if !ok {
			return sel, fault("FSS.1001", fmt.Sprintf("status %q: allowed are WAIT, RUNNING, SUCCESS, FAIL and DISCARD", short(word, 20)))
		}
		sel.Status = status
	}
	if sel.Offset, err = number(q.Get("marker"), "marker", 0, 0, 1<<31-1); err != nil {
		return sel, err
	}
	if sel.Limit, err = number(q.Get("limit"), "limit", listLimit, 1, maxListLimit); err != nil {
		return sel, err
	}
	return sel, s.during(&sel, q)
}

// during reads the window of time. Without one it is the last hour, whatever the marker: so says FunctionGraph's manual.
func (s *Server) during(sel *invocations.Selection, q url.Values) (err error) {
	now := domain.InstantOf(s.Now())
	sel.Until = now
	if end := q.Get("query_end_time"); end != "" {
		if sel.Until, err = ParseTime("query_end_time", end); err != nil {
			return err
		}
		sel.Until = sel.Until.Add(time.Second - time.Millisecond) // times are whole seconds: all of the last one
	}
	sel.Since = min(now, sel.Until).Add(-listWindow)
	if begin := q.Get("query_begin_time"); begin != "" {
		if sel.Since, err = ParseTime("query_begin_time", begin); err != nil {
			return err
		}
	}
	if sel.Since > sel.Until {
		return fault("FSS.1001", "query_begin_time is later than query_end_time")
	}
	return nil
}

// versionsNamed are the versions that a URN means: every one if it names none, both of an alias's.
func versionsNamed(ref Ref, f functions.Function) (func(string) bool, error) {
	switch {
	case !ref.Qualified:
		return nil, nil //nolint:nilnil // every one
	case ref.Alias:
		a, ok := f.Alias(ref.Qualifier)
		if !ok {
			return nil, fault("FSS.1053", "")
		}
		return func(v string) bool { return v == a.Version || a.Other != "" && v == a.Other }, nil
	case ref.Qualifier == Latest: // which natively had a number
		return func(v string) bool { _, err := strconv.Atoi(v); return v == Latest || err == nil }, nil
	}
	if _, ok := f.Version(ref.Qualifier); !ok {
		return nil, fault("FSS.1052", "")
	}
	return func(v string) bool { return v == ref.Qualifier }, nil
}

func (s *Server) list(c *call, sel invocations.Selection) error {
	ctx, cancel := context.WithTimeout(c.r.Context(), behindWithin)
	defer cancel()
	behind := "unknown"
	if n, err := s.Door.Behind(ctx); err == nil {
		behind = strconv.FormatInt(n, 10)
	}
	page := s.Model.Select(sel)
	c.w.Header().Set(headerBehind, behind)
	if page.Older {
		c.w.Header().Set(headerOlder, "true")
	}
	items := []object{}
	for _, row := range page.Rows {
		i := row.State
		item := object{
			"request_id": i.ID.String(), "status": status(i), "error_code": errorCode(i), "error_message": errorMessage(i),
			"start_time": recordTime(i.ID.T0()), "end_time": recordTime(i.EndedAt),
		}
		items = append(items, item)
	}
	answer := object{"invocations": items, "count": page.Total}
	if next := sel.Offset + len(items); len(items) > 0 && next < page.Total {
		answer["next_marker"] = next // a number, and only if there is a next page: of one client it would be the end
	}
	return c.reply(http.StatusOK, answer)
}
