package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"deed/cmd/internal/access"
	"deed/domain"
)

// sealKeyVariable holds the sealing key, 64 hexadecimal digits, instead of a file.
const sealKeyVariable = "DEED_SEAL_KEY"

// openKeyring reads the sealing key: that of the environment, of the file that was named, or of the data directory, where the
// first start of a node with its own broker makes one. Nodes of a cluster are given one, the same to all.
//
// A node that cannot check the keys there are, or that would serve others than its own machine without any, does not start.
func (n *Node) openKeyring() (err error) {
	c := n.config
	n.Keyring = &access.Keyring{Find: n.accessKey, Any: n.Registry.Keyed, Now: n.now}
	if n.Keyring.Sealer, err = loadSealer(c); err != nil {
		return fmt.Errorf("sealing key: %w", err)
	}
	if err := n.keysTrouble(); err != nil {
		return err
	}
	if host, _, _ := net.SplitHostPort(c.Listen); !loopback(host) && !n.Registry.Keyed() {
		return fmt.Errorf("--listen %s is refused: there are no access keys, and without any the server serves this machine only; start on 127.0.0.1 and make one (deed keys create --operator)", c.Listen)
	}
	return nil
}

func loadSealer(c Config) (*access.Sealer, error) {
	if digits := os.Getenv(sealKeyVariable); digits != "" {
		s, err := access.ParseSealer(digits)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", sealKeyVariable, err)
		}
		return s, nil
	}
	if c.SealKey != "" {
		return access.LoadSealer(c.SealKey)
	}
	if len(c.Brokers) > 0 {
		return nil, nil //nolint:nilnil // there is none, and that is no error while there are no keys
	}
	path := filepath.Join(c.Data, "seal.key")
	s, err := access.LoadSealer(path)
	if errors.Is(err, fs.ErrNotExist) {
		return access.CreateSealer(path, random)
	}
	return s, err
}

// keysTrouble is why the keys that there are cannot be checked here.
func (n *Node) keysTrouble() error {
	if !n.Registry.Keyed() {
		return nil
	}
	if n.Keyring.Sealer == nil {
		return fmt.Errorf("there are access keys, and this node has no sealing key to check them with: --seal-key FILE, or %s, is the one that the other nodes have", sealKeyVariable)
	}
	for _, k := range n.Registry.Keys() {
		if _, err := n.Keyring.Sealer.Open(k.Sealed, k.Access); err != nil {
			return fmt.Errorf("access key %s cannot be checked: %w (--seal-key FILE, or %s, is the one that the other nodes have)", k.Access, err, sealKeyVariable)
		}
	}
	return nil
}

func (n *Node) accessKey(name string) (access.Key, bool) {
	k, ok := n.Registry.Key(name)
	return access.Key{Access: k.Access, Sealed: k.Sealed, Projects: k.Projects, Operator: k.Operator}, ok
}

// AccessKeys makes and revokes access keys.
type AccessKeys struct{ n *Node }

// AccessKeys are the node's.
func (n *Node) AccessKeys() AccessKeys { return AccessKeys{n} }

// maxNote bounds what is said of a key, in bytes.
const maxNote = 200

// Create makes a key. Its secret is stored sealed, and returned this once.
func (a AccessKeys) Create(ctx context.Context, projects []string, operator bool, note string) (access.Credentials, error) {
	sealer := a.n.Keyring.Sealer
	switch {
	case sealer == nil:
		return access.Credentials{}, domain.Reject(domain.CodeInvalid, "this node has no sealing key to store secrets with", "start every node with the same --seal-key FILE or "+sealKeyVariable)
	case operator && len(projects) > 0:
		return access.Credentials{}, domain.Reject(domain.CodeInvalid, "an operator's key is for every project", "leave the projects out, or make a key for them alone")
	case len(note) > maxNote:
		return access.Credentials{}, domain.Reject(domain.CodeTooLarge, fmt.Sprintf("the note has %d bytes; the limit is %d", len(note), maxNote), "")
	}
	for _, p := range projects {
		if err := domain.CheckProject(p); err != nil {
			return access.Credentials{}, err
		}
	}
	c := access.NewCredentials(random)
	return c, a.n.Door.Note(ctx, domain.KeyCreated{
		Access: c.Access, Sealed: sealer.Seal([]byte(c.Secret), c.Access), Projects: projects, Operator: operator, Note: strings.ToValidUTF8(note, "\ufffd"),
	})
}

// Revoke ends a key. What it is doing now it may finish; a stream that it reads goes on until it is closed.
func (a AccessKeys) Revoke(ctx context.Context, name string) error {
	if _, ok := a.n.Registry.Key(name); !ok {
		return domain.Reject(domain.CodeNotFound, fmt.Sprintf("there is no key %s", name), "deed keys list shows them")
	}
	return a.n.Door.Note(ctx, domain.KeyRevoked{Access: name})
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
