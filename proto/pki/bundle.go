package pki

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	caFile      = "ca.pem"
	certFile    = "cert.pem"
	keyFile     = "key.pem"
	serversFile = "servers"
)

// Server is a server's name and the address of its door: host:port, or
// unix:/path for a socket.
type Server struct {
	ID      string
	Address string
}

// Bundle is everything that an identity needs: a folder with ca.pem, cert.pem,
// key.pem and servers, a line ID=ADDRESS for each.
type Bundle struct {
	Identity Identity
	Servers  []Server

	ca, certPEM, keyPEM []byte
	cert                tls.Certificate
	roots               *x509.CertPool
}

// ParseBundle checks that certificate and key belong together and carry an
// identity. Whether it is valid now is for Check.
func ParseBundle(ca, cert, key []byte, servers []Server) (*Bundle, error) {
	root, err := parseCert(ca)
	if err != nil {
		return nil, fmt.Errorf("parse bundle: %s: %w", caFile, err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("parse bundle: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	id, err := identityOf(pair.Leaf)
	if err != nil {
		return nil, fmt.Errorf("parse bundle: %w", err)
	}
	return &Bundle{Identity: id, Servers: servers, ca: ca, certPEM: cert, keyPEM: key, cert: pair, roots: roots}, nil
}

// Load reads a bundle from its folder. It refuses a key that others may read,
// and a certificate that is of another authority or not valid now.
func Load(dir string) (*Bundle, error) {
	b, err := load(dir)
	if err != nil {
		return nil, fmt.Errorf("load bundle %s: %w", dir, err)
	}
	if err := b.Check(); err != nil {
		return nil, fmt.Errorf("load bundle %s: %w", dir, err)
	}
	return b, nil
}

// Check says whether the bundle's own certificate would be accepted now.
func (b *Bundle) Check() error {
	_, err := verify(b.roots, []*x509.Certificate{b.cert.Leaf})
	return err
}

// Expires is when the certificate ends.
func (b *Bundle) Expires() time.Time { return b.cert.Leaf.NotAfter }

// Cluster stands for everything that has certificates of one authority: twelve
// characters, the same in each of its bundles.
func (b *Bundle) Cluster() string {
	sum := sha256.Sum256(b.ca)
	return hex.EncodeToString(sum[:6])
}

// WithServers is the bundle with other servers.
func (b *Bundle) WithServers(servers []Server) *Bundle {
	c := *b
	c.Servers = servers
	return &c
}

// Write saves the bundle in a folder that it makes: 0700, its files 0600.
func (b *Bundle) Write(dir string) error {
	files := map[string][]byte{
		caFile: b.ca, certFile: b.certPEM, keyFile: b.keyPEM, serversFile: FormatServers(b.Servers),
	}
	if err := writeFiles(dir, files); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

// ParseServers reads lines of ID=ADDRESS. Empty lines and those that begin
// with # are skipped.
func ParseServers(text string) ([]Server, error) {
	var servers []Server
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		s, err := ParseServer(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		servers = append(servers, s)
	}
	return servers, nil
}

// ParseServer reads ID=ADDRESS.
func ParseServer(text string) (Server, error) {
	id, address, ok := strings.Cut(text, "=")
	if !ok || address == "" {
		return Server{}, fmt.Errorf("parse server %q: not ID=ADDRESS", text)
	}
	if err := CheckName(id); err != nil {
		return Server{}, fmt.Errorf("parse server %q: %w", text, err)
	}
	return Server{ID: id, Address: address}, nil
}

// FormatServers is the other way of ParseServers.
func FormatServers(servers []Server) []byte {
	var b strings.Builder
	for _, s := range servers {
		fmt.Fprintf(&b, "%s=%s\n", s.ID, s.Address)
	}
	return []byte(b.String())
}

func load(dir string) (*Bundle, error) {
	key, err := readKey(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(filepath.Join(dir, caFile))
	if err != nil {
		return nil, err
	}
	cert, err := os.ReadFile(filepath.Join(dir, certFile))
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, serversFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	servers, err := ParseServers(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", serversFile, err)
	}
	return ParseBundle(ca, cert, key, servers)
}

func readKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if loose := info.Mode().Perm() & 0o077; loose != 0 {
		return nil, fmt.Errorf("%w: %s has mode %#o; run chmod 600 on it", ErrLooseKey, path, info.Mode().Perm())
	}
	return os.ReadFile(path)
}

func writeFiles(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
