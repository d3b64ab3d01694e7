package blob

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
)

// ErrOtherCluster says that the store belongs to another cluster.
var ErrOtherCluster = errors.New("the store belongs to another cluster")

// Open opens the store at a URL that every node of the cluster reaches:
//
//	file:///dir                a directory
//	s3://bucket?region=…       an S3 bucket, which must be there
//
// An S3 URL takes besides: endpoint=http://host:port for a server that is not Amazon's, use_path_style=true for
// endpoint/bucket/key in place of bucket.endpoint/key, and prefix=… for all keys. Credentials come from the usual AWS
// environment variables and files, never from the URL. The error says so if the server cannot be reached, denies access,
// has no such bucket, or does not keep conditional writes.
func Open(ctx context.Context, address string) (*Store, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("blob store: %w", err)
	}
	if u.User != nil {
		return nil, fmt.Errorf("blob store %s: credentials do not belong in a URL; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", u.Redacted())
	}
	switch u.Scheme {
	case "file":
		if u.Host != "" || !filepath.IsAbs(u.Path) || u.RawQuery != "" {
			return nil, fmt.Errorf("blob store %q: write file:///absolute/directory", address)
		}
		return OpenDir(filepath.FromSlash(u.Path))
	case "s3":
		s, err := openS3Store(ctx, u)
		if err != nil {
			return nil, fmt.Errorf("blob store %q: %w", address, err)
		}
		return s, nil
	default:
		return nil, fmt.Errorf("blob store %q: a store is file:///dir or s3://bucket", address)
	}
}

func openS3Store(ctx context.Context, u *url.URL) (*Store, error) {
	o, err := s3OptionsOf(u)
	if err != nil {
		return nil, err
	}
	p, err := openS3(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := p.conditional(ctx); err != nil {
		return nil, err
	}
	return &Store{&Bucket{p}, func(name string) (*Bucket, error) { return &Bucket{p.below("objects/" + name)}, nil }}, nil
}

func s3OptionsOf(u *url.URL) (s3Options, error) {
	o := s3Options{bucket: u.Host}
	q, err := url.ParseQuery(u.RawQuery)
	switch {
	case err != nil:
		return o, err
	case o.bucket == "":
		return o, errors.New("write s3://bucket")
	case u.Path != "" && u.Path != "/":
		return o, fmt.Errorf("write prefix=%s behind a question mark", url.QueryEscape(u.Path[1:]))
	}
	for name, values := range q {
		value := values[len(values)-1]
		switch name {
		case "endpoint":
			if e, err := url.Parse(value); err != nil || e.Scheme != "http" && e.Scheme != "https" || e.Host == "" || e.User != nil {
				return o, fmt.Errorf("endpoint %q is not http://host:port or https://host", value)
			}
			o.endpoint = value
		case "region":
			o.region = value
		case "prefix":
			if err := checkKey(value); err != nil {
				return o, fmt.Errorf("prefix: %w", err)
			}
			o.prefix = value
		case "use_path_style":
			if o.pathStyle, err = strconv.ParseBool(value); err != nil {
				return o, fmt.Errorf("use_path_style is true or false, not %q", value)
			}
		default:
			return o, fmt.Errorf("there is no option %q; there are endpoint, region, use_path_style and prefix", name)
		}
	}
	return o, nil
}

// clusterKey is the object that names the cluster to which a store belongs.
const clusterKey = "cluster"

// ErrNoCluster says that the store does not name the cluster that it belongs to.
var ErrNoCluster = errors.New("the store does not name its cluster")

// Check compares the cluster that the store belongs to. The error is ErrOtherCluster if it is another one's, and ErrNoCluster if
// it is nobody's: it is not the store that the cluster has used, or that is not mounted. Nothing is made or written.
func (s *Store) Check(ctx context.Context, cluster string) error {
	have, err := s.bucket.Read(ctx, clusterKey)
	switch {
	case errors.Is(err, ErrNotFound):
		return fmt.Errorf("%w: it is empty or another one than the cluster %q has used; is it mounted?", ErrNoCluster, cluster)
	case err != nil:
		return err
	case string(have) != cluster+"\n":
		return fmt.Errorf("%w: it is of cluster %q, this is %q", ErrOtherCluster, string(trimNewline(have)), cluster)
	}
	return nil
}

// Belong makes the store the cluster's if it is nobody's yet. The error is ErrOtherCluster if it is another one's.
func (s *Store) Belong(ctx context.Context, cluster string) error {
	created, err := s.bucket.WriteIfAbsent(ctx, clusterKey, []byte(cluster+"\n"))
	if err != nil || created {
		return err
	}
	have, err := s.bucket.Read(ctx, clusterKey)
	if err != nil {
		return err
	}
	if string(have) != cluster+"\n" {
		return fmt.Errorf("%w: it is of cluster %q, this is %q", ErrOtherCluster, string(trimNewline(have)), cluster)
	}
	return nil
}

func trimNewline(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		return b[:n-1]
	}
	return b
}
