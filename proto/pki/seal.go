package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	pb "squall/proto/squall/v1"
)

// ErrSeal means that a seal is missing, broken, or of somebody who may not seal.
var ErrSeal = errors.New("not sealed by who may")

// Seal signs words for a purpose, so that who carries them can't have made them
// up. A seal for one purpose is none for another.
func (b *Bundle) Seal(purpose string, words ...string) (*pb.HaltSeal, error) {
	key, ok := b.cert.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("seal: the bundle's key can't sign")
	}
	sum := sha256.Sum256(sealed(purpose, words))
	signature, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return &pb.HaltSeal{Certificate: b.cert.Leaf.Raw, Signature: signature}, nil
}

// CheckSeal tells who sealed words, one of the roles. A seal outlives the
// certificate that it was made with. It fails with ErrSeal.
func (b *Bundle) CheckSeal(seal *pb.HaltSeal, roles []pb.Role, purpose string, words ...string) (Identity, error) {
	cert, err := x509.ParseCertificate(seal.GetCertificate())
	if err != nil {
		return Identity{}, fmt.Errorf("check seal: %w: %w", ErrSeal, err)
	}
	_, err = cert.Verify(x509.VerifyOptions{
		Roots: b.roots, CurrentTime: cert.NotBefore, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return Identity{}, fmt.Errorf("check seal: %w: %w", ErrSeal, err)
	}
	if err := cert.CheckSignature(x509.ECDSAWithSHA256, sealed(purpose, words), seal.GetSignature()); err != nil {
		return Identity{}, fmt.Errorf("check seal: %w: %w", ErrSeal, err)
	}
	id, err := identityOf(cert)
	if err != nil || !slices.Contains(roles, id.Role) {
		return Identity{}, fmt.Errorf("check seal: by %s: %w", id, ErrSeal)
	}
	return id, nil
}

// sealed is what is signed: each part with its length, so that none runs into
// the next.
func sealed(purpose string, words []string) []byte {
	var out []byte
	for _, part := range append([]string{"squall", purpose}, words...) {
		out = fmt.Appendf(out, "%d:%s", len(part), part)
	}
	return out
}
