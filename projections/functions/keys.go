package functions

import (
	"fmt"
	"slices"
	"sort"

	"deed/domain"
)

// Key is an access key. Its secret is sealed.
type Key struct {
	Access    string
	Sealed    []byte
	Projects  []string // what it may touch
	Operator  bool     // it may touch every project, and the cluster itself
	Note      string
	CreatedAt domain.Instant
	RevokedAt domain.Instant // 0 while it is good
}

// May reports whether the key may touch the project.
func (k Key) May(project string) bool { return k.Operator || slices.Contains(k.Projects, project) }

// Key is the key of that name, if it is not revoked.
func (r *Registry) Key(access string) (Key, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	k, ok := r.keys[access]
	return k, ok && k.RevokedAt == 0
}

// Keyed reports whether there is a key: then nobody comes in without one.
func (r *Registry) Keyed() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.keys) > 0
}

// Keys is every key, the revoked ones too, by age.
func (r *Registry) Keys() []Key {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]Key, 0, len(r.keys))
	for _, k := range r.keys {
		out = append(out, k)
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].CreatedAt != out[j].CreatedAt {
			return out[i].CreatedAt < out[j].CreatedAt
		}
		return out[i].Access < out[j].Access
	})
	return out
}

// applyKey folds what is about a key. Once there was an operator's key there always is one: else nobody could make keys, or
// everybody could come in.
func (r *Registry) applyKey(rec domain.Record) error {
	switch e := rec.Event.(type) {
	case domain.KeyCreated:
		switch {
		case r.keys[e.Access].Access != "":
			return domain.Reject(domain.CodeConflict, fmt.Sprintf("there is a key %s already", e.Access), "")
		case len(r.keys) == 0 && !e.Operator:
			return domain.Reject(domain.CodeConflict, "the first key must be an operator's", "deed keys create --operator; with the first key, nobody comes in without one any more")
		case !e.Operator && len(e.Projects) == 0:
			return domain.Reject(domain.CodeInvalid, "the key may touch nothing", "deed keys create --project NAME")
		}
		r.keys[e.Access] = Key{Access: e.Access, Sealed: e.Sealed, Projects: e.Projects, Operator: e.Operator, Note: e.Note, CreatedAt: rec.At}
	case domain.KeyRevoked:
		k, ok := r.keys[e.Access]
		if !ok || k.RevokedAt != 0 {
			return domain.Reject(domain.CodeNotFound, fmt.Sprintf("there is no key %s", e.Access), "deed keys list shows them")
		}
		operators := 0
		for _, other := range r.keys {
			if other.Operator && other.RevokedAt == 0 {
				operators++
			}
		}
		if k.Operator && operators == 1 {
			return domain.Reject(domain.CodeConflict, "the last operator's key cannot be revoked: nobody could make keys any more", "deed keys create --operator, with the new key in use revoke this one")
		}
		k.RevokedAt = rec.At
		r.keys[e.Access] = k
	default:
	}
	return nil
}
