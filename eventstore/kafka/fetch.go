package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"deed/eventstore"

	"github.com/IBM/sarama"
)

const (
	fetchTimeout = 10 * time.Second // of one request beyond its long poll; a broker that does not answer is left
	fetchLargest = 64 << 20         // bytes of the largest batch that is read; far beyond what brokers take
)

// fetcher reads one partition over a connection of its own. Sarama's consumer hands records over one by one and makes
// every partition of a broker wait for the slowest; here one response is one batch, and nobody waits for anybody.
// One goroutine at a time uses it.
type fetcher struct {
	log       *Log
	partition int32
	broker    *sarama.Broker // nil when not connected
	dial      *dialer
	names     map[string]string // of headers: the same few in every record
}

// connect opens a connection to the partition's leader.
func (f *fetcher) connect(ctx context.Context) error {
	addr, err := f.log.cluster.leader(ctx, f.log.topic, f.partition)
	if err != nil {
		return err
	}
	f.dial = newDialer()
	defer context.AfterFunc(ctx, f.dial.cut)()
	conf := f.log.cluster.config.sarama(f.dial)
	conf.Net.ReadTimeout = fetchTimeout
	f.broker = sarama.NewBroker(addr)
	if err = f.broker.Open(conf); err == nil {
		_, err = f.broker.Connected()
	}
	if err != nil {
		f.disconnect()
	}
	return err
}

func (f *fetcher) disconnect() {
	if f.broker != nil {
		f.dial.cut()
		_ = f.broker.Close() // says only that it is not open
	}
	f.broker, f.dial = nil, nil
}

// fetched is one response.
type fetched struct {
	records []eventstore.Message
	next    int64 // the offset to ask for next
	end     int64 // the offset after the last record that can be read
}

// fetch asks for records from an offset on; the broker waits for one if there is none.
func (f *fetcher) fetch(from int64, maxBytes int32, wait time.Duration) (fetched, error) {
	for {
		req := &sarama.FetchRequest{
			Version: 11, MinBytes: 1, MaxBytes: maxBytes, MaxWaitTime: int32(wait.Milliseconds()), //nolint:gosec // half a second
			Isolation: sarama.ReadUncommitted, SessionEpoch: -1, // no session: its state would have to be rebuilt
		}
		req.AddBlock(f.log.topic, f.partition, from, maxBytes, -1)
		resp, err := f.broker.Fetch(req)
		if err != nil {
			return fetched{}, err
		}
		block := resp.GetBlock(f.log.topic, f.partition)
		if block == nil {
			return fetched{}, sarama.ErrIncompleteResponse
		}
		if block.Err != sarama.ErrNoError {
			return fetched{}, block.Err
		}
		if cut := block.Partial || len(block.RecordsSet) > 0 && partial(block.RecordsSet[0]); !cut {
			return f.decode(block, from)
		}
		// The first batch is larger than what was asked for. (Kafka sends it whole; a broker need not.)
		if maxBytes >= fetchLargest {
			return fetched{}, fmt.Errorf("%w: a batch of more than %d bytes, or a broken one", errUnreadable, fetchLargest)
		}
		maxBytes = min(4*maxBytes, fetchLargest)
	}
}

func partial(s *sarama.Records) bool {
	return s.RecordBatch != nil && s.RecordBatch.PartialTrailingRecord
}

// errUnreadable says that trying again is of no use.
var errUnreadable = errors.New("the log cannot be read on")

// decode takes the records at and after from out of a response. They share its memory: whoever keeps one of them for
// long keeps all of it. Control batches, which only a transactional stranger can have written, are stepped over.
func (f *fetcher) decode(block *sarama.FetchResponseBlock, from int64) (fetched, error) {
	count, headers := 0, 0
	for _, s := range block.RecordsSet {
		if s.RecordBatch == nil {
			return fetched{}, fmt.Errorf("%w: records in the format of before Kafka 0.11", errUnreadable)
		}
		if s.RecordBatch.Control {
			continue
		}
		count += len(s.RecordBatch.Records)
		for _, r := range s.RecordBatch.Records {
			headers += len(r.Headers)
		}
	}
	out := fetched{next: from, end: block.HighWaterMarkOffset, records: make([]eventstore.Message, 0, count)}
	room := make([]eventstore.Header, 0, headers)
	for _, s := range block.RecordsSet {
		b := s.RecordBatch
		if b.PartialTrailingRecord {
			continue
		}
		out.next = max(out.next, b.LastOffset()+1)
		if b.Control {
			continue
		}
		for _, r := range b.Records {
			offset := b.FirstOffset + r.OffsetDelta
			if offset < from {
				continue // the batch began before
			}
			at := b.FirstTimestamp.Add(r.TimestampDelta)
			if b.LogAppendTime {
				at = b.MaxTimestamp
			}
			start := len(room)
			room = f.headers(room, r.Headers)
			out.records = append(out.records, eventstore.Message{
				Partition: int(f.partition), Offset: offset, Time: at, ByBroker: b.LogAppendTime, Key: r.Key, Value: r.Value, Headers: room[start:len(room):len(room)],
			})
		}
	}
	return out, nil
}

// maxNames bounds the names kept, for they may be anybody's.
const maxNames = 64

// headers appends headers whose values share one string.
func (f *fetcher) headers(room []eventstore.Header, in []*sarama.RecordHeader) []eventstore.Header {
	size := 0
	for _, h := range in {
		size += len(h.Value)
	}
	var buf [1024]byte
	all := buf[:0]
	if size > len(buf) {
		all = make([]byte, 0, size)
	}
	for _, h := range in {
		all = append(all, h.Value...)
	}
	values := string(all)
	for _, h := range in {
		name, ok := f.names[string(h.Key)]
		if !ok {
			name = string(h.Key)
			if f.names == nil {
				f.names = make(map[string]string, maxNames)
			}
			if len(f.names) < maxNames {
				f.names[name] = name
			}
		}
		room = append(room, eventstore.Header{Key: name, Value: values[:len(h.Value)]})
		values = values[len(h.Value):]
	}
	return room
}
