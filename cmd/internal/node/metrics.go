package node

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"deed/domain"
	"deed/eventstore"
)

// metrics are a node's own: what it accepted, what came of the invocations of the partitions that it owned, how long its
// appends took. Sums over nodes count nothing twice.
type metrics struct {
	registry *prometheus.Registry
	accepted prometheus.Counter
	outcomes *prometheus.CounterVec
	attempts *prometheus.CounterVec
	notices  *prometheus.CounterVec
	void     *prometheus.CounterVec
	appends  prometheus.Summary
	failed   *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		accepted: prometheus.NewCounter(prometheus.CounterOpts{Name: "deed_requests_total", Help: "Requests that took effect in partitions of this node."}),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "deed_outcomes_total", Help: "Invocations that ended, in partitions of this node."}, []string{"outcome", "condition"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "deed_attempts_total", Help: "Attempts that ended, in partitions of this node; kind is empty for a success."}, []string{"kind"}),
		notices:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "deed_notifications_total", Help: "What became of notifications, in partitions of this node: owed, delivered, failed (a try) or abandoned."}, []string{"what"}),
		void:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "deed_void_records_total", Help: "Records without effect, in partitions of this node."}, []string{"reason"}),
		appends: prometheus.NewSummary(prometheus.SummaryOpts{
			Name: "deed_append_seconds", Help: "Time from an append to its acknowledgement, over the last ten minutes.",
			Objectives: map[float64]float64{0.5: 0.05, 0.9: 0.01, 0.99: 0.001},
		}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "deed_append_failures_total", Help: "Appends that were not acknowledged: refused or unknown."}, []string{"outcome"}),
	}
	m.registry.MustRegister(m.accepted, m.outcomes, m.attempts, m.notices, m.void, m.appends, m.failed,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// seen counts what an acting owner reads.
func (m *metrics) seen(j *eventstore.Judged) {
	if !j.Verdict.Effective() {
		m.void.WithLabelValues(string(j.Verdict.Reason)).Inc()
		return
	}
	switch e := j.Record.Event.(type) {
	case domain.InvocationRequested:
		m.accepted.Inc()
		if !e.Parent.IsZero() {
			m.notices.WithLabelValues("delivered").Inc()
		}
	case domain.AttemptSucceeded:
		m.attempts.WithLabelValues("").Inc()
	case domain.AttemptFailed:
		m.attempts.WithLabelValues(string(e.Kind)).Inc()
	case domain.InvocationSucceeded, domain.InvocationFailed, domain.InvocationDiscarded:
		m.outcomes.WithLabelValues(string(j.After.Outcome), string(j.After.Cond)).Inc()
	case domain.NotificationOwed:
		m.notices.WithLabelValues("owed").Inc()
	case domain.NotificationDelivered:
		m.notices.WithLabelValues("delivered").Inc()
	case domain.NotificationFailed:
		m.notices.WithLabelValues("failed").Inc()
	case domain.NotificationAbandoned:
		m.notices.WithLabelValues("abandoned").Inc()
	default:
	}
}

// timed is the log, its appends timed.
func (m *metrics) timed(l eventstore.Log) eventstore.Log { return &timedLog{l, m} }

type timedLog struct {
	eventstore.Log
	m *metrics
}

func (l *timedLog) Append(p int, records []eventstore.Message, done func(int64, error)) {
	began := time.Now()
	l.Log.Append(p, records, func(offset int64, err error) {
		switch {
		case err == nil:
			l.m.appends.Observe(time.Since(began).Seconds())
		case eventstore.Unknown(err):
			l.m.failed.WithLabelValues("unknown").Inc()
		default:
			l.m.failed.WithLabelValues("refused").Inc()
		}
		done(offset, err)
	})
}

// watch adds what is asked of the node when somebody scrapes.
func (m *metrics) watch(n *Node) {
	m.registry.MustRegister(&asked{n})
	if n.broker != nil {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "deed_log_bytes", Help: "Size of the embedded broker's log."}, func() float64 {
			size, err := n.broker.Size()
			if err != nil {
				return -1
			}
			return float64(size)
		}))
	}
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "deed_attempts_running", Help: "Attempts that run on this node, or are about to."}, func() float64 { return float64(n.deps.Runs.Running()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "deed_modules_loaded", Help: "Compiled modules in memory."}, func() float64 { modules, _ := n.host.Resident(); return float64(modules) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "deed_modules_bytes", Help: "About what the compiled modules in memory take."}, func() float64 { _, bytes := n.host.Resident(); return float64(bytes) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "deed_deliveries_running", Help: "Deliveries to sinks that are under way on this node."}, func() float64 { return float64(n.deps.Tells.Running()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "deed_files_bytes", Help: "Files of functions that this node keeps in memory."}, func() float64 { return float64(n.engine.files.Size()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "deed_undecodable_records_total", Help: "Records that this node could not read; deed log --undecodable lists them."}, func() float64 { return float64(n.poison.Count()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "deed_ready", Help: "1 if the node can serve."}, func() float64 {
			if n.Ready() != nil {
				return 0
			}
			return 1
		}),
	)
}

// scrapeWithin bounds what a scrape asks the broker.
const scrapeWithin = 3 * time.Second

// asked are the figures of the partitions.
type asked struct{ n *Node }

var (
	openDesc  = prometheus.NewDesc("deed_open_invocations", "Invocations that are not settled.", []string{"partition"}, nil)
	waitDesc  = prometheus.NewDesc("deed_oldest_wait_seconds", "Age of the oldest invocation without an outcome.", []string{"partition"}, nil)
	lagDesc   = prometheus.NewDesc("deed_partition_lag_records", "Records that this node has not read yet.", []string{"partition"}, nil)
	behind    = prometheus.NewDesc("deed_partition_takeover_records", "Records that the next owner would fold: from the committed marker to the end.", []string{"partition"}, nil)
	ownedDesc = prometheus.NewDesc("deed_partition_owned", "1 if this node acts on the partition.", []string{"partition"}, nil)
)

// Describe implements prometheus.Collector.
func (a *asked) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(a, out) }

// Collect implements prometheus.Collector.
func (a *asked) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWithin)
	defer cancel()
	for _, s := range a.n.Status(ctx) {
		p := strconv.Itoa(s.Partition)
		gauge := func(d *prometheus.Desc, v float64) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, p)
		}
		owned := 0.0
		if s.Here {
			owned = 1
		}
		gauge(openDesc, float64(s.Open))
		gauge(waitDesc, s.OldestWait.Seconds())
		gauge(ownedDesc, owned)
		if s.End >= 0 {
			gauge(lagDesc, float64(s.Lag))
			gauge(behind, float64(s.End-max(s.Committed, 0)))
		}
	}
}

// Metrics serves them to Prometheus.
func (n *Node) Metrics() http.Handler {
	return promhttp.HandlerFor(n.metrics.registry, promhttp.HandlerOpts{})
}

// Unread are the records that this node could not read.
func (n *Node) Unread() []UnreadRecord {
	var out []UnreadRecord
	for _, r := range n.poison.Records() {
		out = append(out, UnreadRecord{r.Topic, r.Partition, r.Offset, r.Type, r.Subject, string(r.Reason), r.Problem})
	}
	return out
}

// UnreadRecord is a record that could not be read, or whose invocation was set aside.
type UnreadRecord struct {
	Topic                          string
	Partition                      int
	Offset                         int64
	Type, Subject, Reason, Problem string
}
