package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"

	"deed/cmd/internal/door"
	"deed/domain"
	"deed/runtime/files"
)

// The parts of the body of a deploy that has files. Module and files come in one request: so a deployment is whole or not at
// all, and nobody can name the digest of files that are another's.
const (
	partModule = "module"
	partFiles  = "files"
)

// maxDeploy bounds the body of a deploy: module, files, and what multipart writes around them.
const maxDeploy = maxModule + files.MaxArchive + 64<<10

// code reads what a function is deployed with.
func code(w http.ResponseWriter, r *http.Request) (door.Code, error) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "multipart/form-data" {
		module, err := body(w, r, maxModule, "the module")
		return door.Code{Module: module}, err
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxDeploy)
	parts, there := multipart.NewReader(r.Body, params["boundary"]), map[string][]byte{}
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return door.Code{}, unreadable("the body", err)
		}
		name, most := part.FormName(), 0
		switch name {
		case partModule:
			most = maxModule
		case partFiles:
			most = files.MaxArchive
		default:
			return door.Code{}, domain.Reject(domain.CodeInvalid, fmt.Sprintf("the body has a part %.40q", name), "its parts are "+partModule+" and "+partFiles)
		}
		if _, twice := there[name]; twice {
			return door.Code{}, domain.Reject(domain.CodeInvalid, fmt.Sprintf("the body has two parts %q", name), "")
		}
		b, err := io.ReadAll(io.LimitReader(part, int64(most)+1))
		if err != nil {
			return door.Code{}, unreadable("the part "+name, err)
		}
		if len(b) > most {
			return door.Code{}, tooLarge("the part "+name, most)
		}
		there[name] = b
	}
	module, ok := there[partModule]
	if !ok {
		return door.Code{}, domain.Reject(domain.CodeInvalid, "the body has no part "+partModule, "")
	}
	c := door.Code{Module: module}
	if archive, ok := there[partFiles]; ok {
		c.Files, err = files.Open(archive)
	}
	return c, err
}

// Multipart is the body of a deploy with files, and its content type.
func Multipart(module, archive []byte) (contentType string, _ []byte) {
	var out bytes.Buffer
	out.Grow(len(module) + len(archive) + 1024)
	w := multipart.NewWriter(&out)
	for _, p := range []struct {
		name string
		b    []byte
	}{{partModule, module}, {partFiles, archive}} {
		part, _ := w.CreateFormFile(p.name, p.name) // a buffer takes everything
		_, _ = part.Write(p.b)
	}
	_ = w.Close()
	return w.FormDataContentType(), out.Bytes()
}
