package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
	"gocloud.dev/gcerrors"
)

// s3Options say which bucket, of which server.
type s3Options struct {
	bucket    string
	prefix    string // of all keys, without a slash at its end; may be empty
	endpoint  string // of a server that is not Amazon's; may be empty
	region    string // the environment's if empty
	pathStyle bool   // http://host/bucket/key, not http://bucket.host/key
}

// Bounds of one operation. The SDK tries three times within it.
const (
	s3Dial    = 5 * time.Second
	s3Within  = 15 * time.Second // and so much more:
	s3PerMiB  = 2 * time.Second
	maxObject = 64 << 20 // what Read takes from a server, in bytes; nothing that is written is larger
	conflicts = 5        // how often a write is made again that met another one of the same key
)

// inS3 is a place in an S3 bucket, below a prefix. What the server has acknowledged is durable.
type inS3 struct {
	s3Options
	client  *s3.Client
	objects *blob.Bucket // the same bucket; what is read goes through it
}

// openS3 connects, with the credentials of the usual AWS environment variables and files.
func openS3(ctx context.Context, o s3Options) (*inS3, error) {
	load := []func(*config.LoadOptions) error{
		config.WithHTTPClient(awshttp.NewBuildableClient().WithDialerOptions(func(d *net.Dialer) { d.Timeout = s3Dial }).
			WithTransportOptions(func(t *http.Transport) { t.ResponseHeaderTimeout = s3Within })),
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(r *retry.StandardOptions) { r.MaxAttempts, r.MaxBackoff = 3, time.Second })
		}),
	}
	if o.region != "" {
		load = append(load, config.WithRegion(o.region))
	}
	c, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, err
	}
	switch {
	case c.Region != "":
	case o.endpoint == "":
		return nil, errors.New("no region is given (region=… or AWS_REGION)")
	default:
		c.Region = "us-east-1" // what servers that know no regions take
	}
	p := &inS3{s3Options: o, client: s3.NewFromConfig(c, func(s *s3.Options) {
		if o.endpoint != "" {
			s.BaseEndpoint = &o.endpoint
		}
		s.UsePathStyle = o.pathStyle
		s.DisableLogOutputChecksumValidationSkipped = true // contents are checked by their digest
	})}
	p.objects, err = s3blob.OpenBucket(ctx, p.client, o.bucket, nil)
	return p, err
}

// below is the same bucket at a longer prefix.
func (p *inS3) below(prefix string) *inS3 {
	q := *p
	q.prefix = p.key(prefix)
	return &q
}

func (p *inS3) key(key string) string {
	if p.prefix == "" {
		return key
	}
	return p.prefix + "/" + key
}

func (p *inS3) path(key string) string { return "s3://" + p.bucket + "/" + p.key(key) }

func within(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s3Within+time.Duration(n>>20)*s3PerMiB)
}

// writeIfAbsent is one PUT with If-None-Match: *. gocloud's writer would cut what is large into parts, which stay behind,
// unseen and paid for, when we crash between them.
func (p *inS3) writeIfAbsent(ctx context.Context, key string, data []byte) (bool, error) {
	ctx, cancel := within(ctx, len(data))
	defer cancel()
	var err error
	for try := range conflicts {
		_, err = p.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &p.bucket, Key: aws.String(p.key(key)), Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data))),
			ContentType: aws.String("application/octet-stream"), IfNoneMatch: aws.String("*"),
		})
		switch code := codeOf(err); {
		case err == nil:
			return true, nil
		case code == "PreconditionFailed":
			return false, nil
		case code != "ConditionalRequestConflict":
			return false, p.explain(ctx, err)
		}
		// Somebody writes the same key now. Either one of us will have done it.
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(try+1) * 50 * time.Millisecond):
		}
	}
	return false, p.explain(ctx, err)
}

func (p *inS3) read(ctx context.Context, key string) ([]byte, error) {
	ctx, cancel := within(ctx, maxObject)
	defer cancel()
	r, err := p.objects.NewReader(ctx, p.key(key), nil)
	if err != nil {
		return nil, p.explain(ctx, err)
	}
	if r.Size() > maxObject {
		return nil, errors.Join(fmt.Errorf("it has %d bytes; nothing of ours has more than %d", r.Size(), maxObject), r.Close())
	}
	data := make([]byte, r.Size())
	if _, err = io.ReadFull(r, data); err != nil {
		return nil, errors.Join(p.explain(ctx, err), r.Close())
	}
	return data, r.Close()
}

func (p *inS3) size(ctx context.Context, key string) (int64, error) {
	ctx, cancel := within(ctx, 0)
	defer cancel()
	a, err := p.objects.Attributes(ctx, p.key(key))
	if err != nil {
		return 0, p.explain(ctx, err)
	}
	return a.Size, nil
}

func (p *inS3) settle(string) error { return nil }

func (p *inS3) close() error { return nil } // a view of a connection that others may have

// conditionalKey is the object by which conditional finds out.
const conditionalKey = "write-if-absent"

// conditional checks that the server keeps If-None-Match: one that ignores it would let a cluster overwrite another one's
// name, and a notification another one's object. Asking so also shows that the bucket is there and may be written.
func (p *inS3) conditional(ctx context.Context) error {
	for try := range 2 {
		created, err := p.writeIfAbsent(ctx, conditionalKey, []byte("Deed found out with this object that the store keeps conditional writes.\n"))
		if err != nil {
			return err
		}
		if created && try == 1 {
			return errors.New("the server overwrites what a conditional write (If-None-Match) must keep; Deed needs one that does not")
		}
	}
	return nil
}

// gone reports whether a read says that there is no such object. A HEAD has no body that would tell a missing bucket apart.
func gone(err error) bool {
	return gcerrors.Code(err) == gcerrors.NotFound && codeOf(err) != "NoSuchBucket"
}
