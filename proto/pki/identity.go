// Package pki makes and checks the certificates by which servers, agents and
// users know one another.
//
// A certificate carries its role and name in one URI (squall://agent/web-a1),
// and every door checks the role: that a certificate comes from our own
// authority opens nothing by itself. Names of hosts and addresses play no
// part, so that the same bundle works through any address and over Unix
// sockets.
package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"

	pb "squall/proto/squall/v1"
)

// Causes of a refused certificate. Errors of this package wrap them.
var (
	ErrNoCertificate = errors.New("no certificate")
	ErrWrongCA       = errors.New("signed by another authority")
	ErrExpired       = errors.New("certificate expired")
	ErrNotYetValid   = errors.New("certificate not valid yet")
	ErrWrongRole     = errors.New("wrong role")
	ErrLooseKey      = errors.New("key is readable by others")
)

const (
	scheme     = "squall"
	maxNameLen = 63
)

var roleWords = map[pb.Role]string{
	pb.Role_ROLE_SERVER: "server",
	pb.Role_ROLE_AGENT:  "agent",
	pb.Role_ROLE_USER:   "user",
}

// Identity is who holds a certificate.
type Identity struct {
	Role pb.Role
	Name string
}

// String is the identity as people read it: "agent web-a1".
func (i Identity) String() string { return roleWords[i.Role] + " " + i.Name }

// URI is the identity as certificates carry it.
func (i Identity) URI() *url.URL {
	return &url.URL{Scheme: scheme, Host: roleWords[i.Role], Path: "/" + i.Name}
}

// Principal is the identity as the log carries it.
func (i Identity) Principal() *pb.Principal {
	return &pb.Principal{Name: i.Name, Role: i.Role}
}

// ParseIdentity reads squall://ROLE/NAME and nothing else.
func ParseIdentity(uri string) (Identity, error) {
	rest, ok := strings.CutPrefix(uri, scheme+"://")
	if !ok {
		return Identity{}, fmt.Errorf("parse identity %q: not a %s:// URI", uri, scheme)
	}
	word, name, _ := strings.Cut(rest, "/")
	role := roleByWord(word)
	if role == pb.Role_ROLE_UNSPECIFIED {
		return Identity{}, fmt.Errorf("parse identity %q: unknown role %q", uri, word)
	}
	if err := CheckName(name); err != nil {
		return Identity{}, fmt.Errorf("parse identity %q: %w", uri, err)
	}
	return Identity{Role: role, Name: name}, nil
}

// CheckName refuses names that could not be a host's: small letters, digits,
// dots and dashes, 1 to 63 of them, beginning with a letter or digit.
func CheckName(name string) error {
	if name == "" || len(name) > maxNameLen {
		return fmt.Errorf("name %q: has %d characters, not 1 to %d", name, len(name), maxNameLen)
	}
	for i, r := range name {
		plain := r >= 'a' && r <= 'z' || r >= '0' && r <= '9'
		if !plain && (i == 0 || r != '.' && r != '-') {
			return fmt.Errorf("name %q: has %q, not only a-z, 0-9, dot and dash", name, r)
		}
	}
	return nil
}

// identityOf reads the one identity that a certificate carries.
func identityOf(cert *x509.Certificate) (Identity, error) {
	if len(cert.URIs) != 1 {
		return Identity{}, fmt.Errorf("read identity of %q: %d URIs, not 1: %w",
			cert.Subject.CommonName, len(cert.URIs), ErrWrongRole)
	}
	id, err := ParseIdentity(cert.URIs[0].String())
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %w", err, ErrWrongRole)
	}
	return id, nil
}

func roleByWord(word string) pb.Role {
	for role, w := range roleWords {
		if w == word {
			return role
		}
	}
	return pb.Role_ROLE_UNSPECIFIED
}
