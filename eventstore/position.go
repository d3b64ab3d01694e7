package eventstore

import (
	"context"
	"fmt"

	"deed/domain"
)

// CheckPosition compares what the group of owners has committed with the log, whose bounds are given: the record there
// must be the marker that the position names. The error is ErrDiverged if it is not: the log was cut, or it is another
// cluster's under the same name. Nothing is ever reset for that reason.
func CheckPosition(ctx context.Context, l Log, partition int, p Position, start, end int64) error {
	switch {
	case p.Offset < 0:
		return nil // nothing was ever committed
	case p.Offset >= end:
		return fmt.Errorf("%w: partition %d ends at offset %d, and the owners had committed %d: records were lost", ErrDiverged, partition, end, p.Offset)
	case p.Offset < start:
		return fmt.Errorf("%w: partition %d begins at offset %d, and the owners had committed only %d: records were removed", ErrDiverged, partition, start, p.Offset)
	}
	ms, err := l.Read(ctx, partition, p.Offset, 1)
	if err != nil {
		return err
	}
	if len(ms) == 0 || ms[0].Offset != p.Offset {
		return fmt.Errorf("%w: partition %d has no record at offset %d, which the owners had committed", ErrDiverged, partition, p.Offset)
	}
	r := Decode(ms[0])
	if _, ok := r.Event.(domain.PartitionOwned); !ok || r.ID.String() != p.Metadata {
		return fmt.Errorf("%w: partition %d, offset %d holds %s %s, and the owners had committed the marker %s there", ErrDiverged, partition, p.Offset, r.Type, r.ID, p.Metadata)
	}
	return nil
}
