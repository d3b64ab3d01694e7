package httpapi

import (
	"context"
	"net/http"
)

// Operator is what a node says of itself to who operates it.
type Operator interface {
	Nodes(ctx context.Context) Nodes
	Unread() []Unread
	Metrics() http.Handler
}

// Nodes is who owns what, as the node that was asked reads the log.
type Nodes struct {
	Node       string      `json:"node"`
	Nodes      []Owner     `json:"nodes"`
	Partitions []Partition `json:"partitions"`
	Alarms     []string    `json:"alarms,omitempty"`
}

// Owner is a node and the partitions that it claimed last.
type Owner struct {
	Node       string `json:"node"`
	Partitions []int  `json:"partitions"`
	Open       int    `json:"open"`
}

// Partition is how one partition stands.
type Partition struct {
	Partition  int     `json:"partition"`
	Owner      string  `json:"owner,omitempty"`
	Epoch      uint64  `json:"epoch"`
	End        int64   `json:"end"`
	Lag        int64   `json:"lag"`
	Committed  int64   `json:"committed"`
	Open       int     `json:"open"`
	OldestWait float64 `json:"oldest_wait_seconds"`
	Void       int64   `json:"void_records"`
	LogTime    string  `json:"log_time,omitempty"`
}

// Unread is a record that could not be read, or whose invocation was set aside.
type Unread struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	Offset    int64  `json:"offset"`
	Type      string `json:"type,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	Reason    string `json:"reason"`
	Problem   string `json:"problem,omitempty"`
}

func (s *Server) nodes(w http.ResponseWriter, r *http.Request) error {
	return reply(w, http.StatusOK, s.Operator.Nodes(r.Context()))
}

func (s *Server) undecodable(w http.ResponseWriter, _ *http.Request) error {
	records := s.Operator.Unread()
	if records == nil {
		records = []Unread{}
	}
	return reply(w, http.StatusOK, map[string]any{"records": records})
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) error {
	s.Operator.Metrics().ServeHTTP(w, r)
	return nil
}
