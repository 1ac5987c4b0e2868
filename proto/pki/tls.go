package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	pb "squall/proto/squall/v1"
)

// ServerTLS is the TLS of a door that only certificates with one of the roles
// may pass. TLS 1.3 both ways; no name is checked but the role.
func (b *Bundle) ServerTLS(roles ...pb.Role) *tls.Config {
	return &tls.Config{
		MinVersion:       tls.VersionTLS13,
		Certificates:     []tls.Certificate{b.cert},
		ClientAuth:       tls.RequireAnyClientCert, // verifyPeer checks, and says why
		VerifyConnection: b.verifyPeer(roles),
	}
}

// ClientTLS is the TLS towards a server: whoever answers must be one.
func (b *Bundle) ClientTLS() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{b.cert},
		// Names are no part of an identity; verifyPeer checks chain and role.
		InsecureSkipVerify: true,
		VerifyConnection:   b.verifyPeer([]pb.Role{pb.Role_ROLE_SERVER}),
		ClientSessionCache: tls.NewLRUClientSessionCache(0),
	}
}

// PeerIdentity is who is at the other end of a verified connection.
func PeerIdentity(state *tls.ConnectionState) (Identity, error) {
	if len(state.PeerCertificates) == 0 {
		return Identity{}, fmt.Errorf("identify peer: %w", ErrNoCertificate)
	}
	return identityOf(state.PeerCertificates[0])
}

func (b *Bundle) verifyPeer(roles []pb.Role) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		id, err := verify(b.roots, state.PeerCertificates)
		if err != nil {
			return fmt.Errorf("verify peer: %w", err)
		}
		if !slices.Contains(roles, id.Role) {
			return fmt.Errorf("verify peer: %s at a door for %s: %w", id, words(roles), ErrWrongRole)
		}
		return nil
	}
}

// verify checks the chain up to our authority and the dates, and reads the identity.
func verify(roots *x509.CertPool, chain []*x509.Certificate) (Identity, error) {
	if len(chain) == 0 {
		return Identity{}, ErrNoCertificate
	}
	leaf := chain[0]
	now := time.Now()
	if now.After(leaf.NotAfter) {
		return Identity{}, fmt.Errorf("%w at %s", ErrExpired, leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	if now.Before(leaf.NotBefore) {
		return Identity{}, fmt.Errorf("%w until %s", ErrNotYetValid, leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
		return Identity{}, fmt.Errorf("%q: %w", leaf.Subject.CommonName, ErrWrongCA)
	}
	if err != nil {
		return Identity{}, err
	}
	return identityOf(leaf)
}

func words(roles []pb.Role) string {
	list := make([]string, len(roles))
	for i, r := range roles {
		list[i] = roleWords[r] + "s"
	}
	return strings.Join(list, " and ")
}
