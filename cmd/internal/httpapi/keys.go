package httpapi

import (
	"context"
	"net/http"

	"deed/cmd/internal/access"
	"deed/projections/functions"
)

// Keys makes and revokes access keys.
type Keys interface {
	Create(ctx context.Context, projects []string, operator bool, note string) (access.Credentials, error)
	Revoke(ctx context.Context, access string) error
}

// NewKey asks for an access key.
type NewKey struct {
	Projects []string `json:"projects,omitempty"` // what it may touch
	Operator bool     `json:"operator,omitempty"` // it may touch every project, and the cluster itself
	Note     string   `json:"note,omitempty"`     // whose it is
}

// Key is an access key. Only the answer that made it has its secret.
type Key struct {
	AccessKey string   `json:"access_key"`
	SecretKey string   `json:"secret_key,omitempty"`
	Token     string   `json:"token,omitempty"` // both as one word, for Authorization: Bearer
	Projects  []string `json:"projects,omitempty"`
	Operator  bool     `json:"operator,omitempty"`
	Note      string   `json:"note,omitempty"`
	CreatedAt string   `json:"created_at,omitempty"`
	RevokedAt string   `json:"revoked_at,omitempty"`
}

func (s *Server) createKey(w http.ResponseWriter, r *http.Request) error {
	b, err := body(w, r, 16<<10, "the key")
	if err != nil {
		return err
	}
	var in NewKey
	if err := strict(b, &in); err != nil {
		return err
	}
	c, err := s.Keys.Create(r.Context(), in.Projects, in.Operator, in.Note)
	if err != nil {
		return err
	}
	out := Key{AccessKey: c.Access, SecretKey: c.Secret, Token: access.Token(c), Projects: in.Projects, Operator: in.Operator, Note: in.Note}
	if k, ok := s.Registry.Key(c.Access); ok {
		out.CreatedAt = k.CreatedAt.String()
	}
	w.Header().Set("Cache-Control", "no-store")
	return reply(w, http.StatusOK, out)
}

func (s *Server) keys(w http.ResponseWriter, _ *http.Request) error {
	out := []Key{}
	for _, k := range s.Registry.Keys() {
		out = append(out, keyOf(k))
	}
	return reply(w, http.StatusOK, map[string]any{"keys": out})
}

func keyOf(k functions.Key) Key {
	v := Key{AccessKey: k.Access, Projects: k.Projects, Operator: k.Operator, Note: k.Note, CreatedAt: k.CreatedAt.String()}
	if k.RevokedAt != 0 {
		v.RevokedAt = k.RevokedAt.String()
	}
	return v
}

func (s *Server) revokeKey(w http.ResponseWriter, r *http.Request) error {
	if err := s.Keys.Revoke(r.Context(), r.PathValue("key")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
