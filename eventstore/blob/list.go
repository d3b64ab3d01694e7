package blob

import (
	"context"
	"errors"
	"io"
	"strings"

	"gocloud.dev/blob"
)

// each calls fn for every object of a bucket below a prefix that is not a temporary file.
func each(ctx context.Context, b *blob.Bucket, prefix string, fn func(key string, size int64) error) error {
	for at := b.List(&blob.ListOptions{Prefix: prefix}); ; {
		o, err := at.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := fn(o.Key, o.Size); err != nil {
			return err
		}
	}
}

// temporary reports whether a file of a directory is one that is being written: fileblob appends a point, the time in
// hexadecimal digits and ".tmp" to the name it will have.
func temporary(key string) bool {
	rest, ok := strings.CutSuffix(key, ".tmp")
	if !ok {
		return false
	}
	i := strings.LastIndexByte(rest, '.')
	return i >= 0 && len(rest)-i-1 >= 12 && strings.Trim(rest[i+1:], "0123456789abcdef") == ""
}

func (b *directory) list(ctx context.Context, prefix string, fn func(key string, size int64) error) error {
	return each(ctx, b.bucket, prefix, func(key string, size int64) error {
		if temporary(key) {
			return nil
		}
		return fn(key, size)
	})
}

func (p *inS3) list(ctx context.Context, prefix string, fn func(key string, size int64) error) error {
	below := ""
	if p.prefix != "" {
		below = p.prefix + "/"
	}
	return each(ctx, p.objects, below+prefix, func(key string, size int64) error {
		return fn(strings.TrimPrefix(key, below), size)
	})
}
