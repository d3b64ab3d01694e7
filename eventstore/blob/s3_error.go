package blob

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// codeOf is the server's word for what went wrong; "" if it said none.
func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// explain says in words what kept an operation from being done: who operates the store must know whether to look at the
// network, the credentials or the bucket. Nothing secret is in what the SDK says of these. The error is ErrNotFound itself
// if there is no such object.
func (p *inS3) explain(ctx context.Context, err error) error {
	if gone(err) {
		return ErrNotFound
	}
	code, status := codeOf(err), 0
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		status = response.HTTPStatusCode()
	}
	transport, noAnswer := errors.AsType[*url.Error](err)
	if !noAnswer {
		_, noAnswer = errors.AsType[net.Error](err)
	}
	switch {
	case errors.Is(context.Cause(ctx), context.Canceled):
		return context.Cause(ctx)
	case code == "NoSuchBucket":
		return fmt.Errorf("there is no bucket %s at %s: %w", p.bucket, p.server(), deepest(err))
	case code == "AccessDenied", code == "InvalidAccessKeyId", code == "SignatureDoesNotMatch", code == "ExpiredToken", code == "InvalidToken", status == 401, status == 403:
		return fmt.Errorf("access to bucket %s at %s is denied; the credentials are those of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile's: %w", p.bucket, p.server(), deepest(err))
	case code == "PermanentRedirect", code == "AuthorizationHeaderMalformed", status == 301:
		return fmt.Errorf("bucket %s is in another region (region=…): %w", p.bucket, deepest(err))
	case ctx.Err() != nil:
		return fmt.Errorf("%s does not answer in time: %w", p.server(), ctx.Err())
	case transport != nil:
		return fmt.Errorf("%s cannot be reached: %w", p.server(), transport.Err)
	case noAnswer:
		return fmt.Errorf("%s cannot be reached: %w", p.server(), deepest(err))
	}
	if signing, ok := errors.AsType[*smithy.OperationError](err); ok && code == "" && status == 0 {
		return fmt.Errorf("no request could be made; are there credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY? %w", deepest(signing))
	}
	return deepest(err)
}

func (p *inS3) server() string {
	if p.endpoint != "" {
		return p.endpoint
	}
	return "Amazon S3"
}

// deepest is the server's own error if there is one, for the SDK wraps it in six others.
func deepest(err error) error {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
