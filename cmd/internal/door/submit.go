package door

import (
	"context"
	"errors"
	"time"

	"deed/domain"
)

// identify makes the id of a request that is accepted now.
func (d *Door) identify(slot int) (domain.InvocationID, time.Time, error) {
	var tail [8]byte
	d.Random(tail[:])
	began := d.Now()
	t0 := domain.InstantOf(began)
	return domain.NewInvocationID(t0, slot, tail), began, d.behind(slot, t0)
}

// Store makes a payload of an event: what is too large for a record is stored first, for the log must never name bytes that
// are not there.
func (d *Door) Store(ctx context.Context, event []byte) (domain.Payload, error) {
	if domain.EncodedLen(event) <= domain.MaxInline {
		return domain.Bytes(event), nil
	}
	digest, err := d.Blobs.Put(ctx, event)
	if err != nil {
		return domain.Payload{}, domain.Reject(domain.CodeUnavailable, "the event cannot be stored: "+err.Error(), "try again when GET /readyz is well; events up to 64 KiB need no store")
	}
	return domain.Payload{Stored: true, Digest: digest, Size: int64(len(event))}, nil
}

// submit appends a request that is complete but for its payload and was accepted at began, and waits for the
// acknowledgement.
func (d *Door) submit(ctx context.Context, req domain.InvocationRequested, event []byte, trace string, began time.Time) (Accepted, error) {
	var err error
	if req.Payload, err = d.Store(ctx, event); err != nil {
		return Accepted{}, err
	}
	offset, err := d.append(ctx, d.Log, req.ID.Slot(), domain.Record{
		ID: domain.RequestRecordID(req.ID), Subject: req.ID, At: req.ID.T0(), Trace: trace, Event: req,
	}, began)
	if err != nil {
		if rejection := (*domain.Rejection)(nil); errors.As(err, &rejection) {
			return Accepted{}, err
		}
		return Accepted{ID: req.ID}, &Unacknowledged{req.ID, req.Key, err}
	}
	if err := d.compareClocks(ctx, req.ID.Slot(), offset, began); err != nil {
		return Accepted{ID: req.ID}, &Unacknowledged{req.ID, req.Key, err}
	}
	return Accepted{ID: req.ID}, nil
}
