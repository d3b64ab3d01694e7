package kafka

import "github.com/rcrowley/go-metrics"

// quiet is a registry that keeps none of Sarama's metrics: their meters and histograms cost some per cent of the processor
// for every record, and a node has figures of its own. There is one for the life of a client, for Sarama asks it what it has
// put there.
type quiet struct{ metrics.Registry }

func newQuiet() metrics.Registry { return quiet{metrics.NewRegistry()} }

// GetOrRegister implements metrics.Registry.
func (q quiet) GetOrRegister(name string, i any) any {
	switch i.(type) {
	case func() metrics.Histogram:
		return metrics.NilHistogram{}
	case func() metrics.Meter:
		return metrics.NilMeter{}
	case func() metrics.Counter:
		return metrics.NilCounter{}
	default:
		return q.Registry.GetOrRegister(name, i)
	}
}
