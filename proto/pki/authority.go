package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"

	pb "squall/proto/squall/v1"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	// CertificateLife is how long a certificate is valid.
	CertificateLife = 365 * 24 * time.Hour
	// backdate covers clocks that differ on the day of the making.
	backdate = time.Hour

	authorityKey = "ca-key.pem"
)

// Authority signs certificates. Whoever holds it can be anybody.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes a new one. Nothing made by an older one is valid under it.
func NewAuthority() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano()),
		Subject:               pkix.Name{CommonName: "squall authority"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	return &Authority{cert: cert, key: key}, nil
}

// OpenAuthority reads the authority in dir, or makes one there.
func OpenAuthority(dir string) (*Authority, error) {
	keyPEM, err := readKey(filepath.Join(dir, authorityKey))
	if errors.Is(err, fs.ErrNotExist) {
		return createAuthority(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open authority: %w", err)
	}
	certPEM, err := os.ReadFile(filepath.Join(dir, caFile))
	if err != nil {
		return nil, fmt.Errorf("open authority: %w", err)
	}
	return parseAuthority(certPEM, keyPEM)
}

// Issue makes a certificate for an identity, valid from now for CertificateLife.
func (a *Authority) Issue(id Identity) (*Bundle, error) {
	return a.IssueUntil(id, time.Now().Add(CertificateLife))
}

// IssueUntil makes one that ends at the instant given.
func (a *Authority) IssueUntil(id Identity, end time.Time) (*Bundle, error) {
	if err := CheckName(id.Name); err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	if roleWords[id.Role] == "" {
		return nil, fmt.Errorf("issue certificate for %q: no role", id.Name)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("issue certificate for %s: %w", id, err)
	}
	der, err := x509.CreateCertificate(rand.Reader, leafTemplate(id, end), a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("issue certificate for %s: %w", id, err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, fmt.Errorf("issue certificate for %s: %w", id, err)
	}
	return ParseBundle(a.PEM(), encodeCert(der), keyPEM, nil)
}

// PEM is the authority's certificate, which everybody may have.
func (a *Authority) PEM() []byte { return encodeCert(a.cert.Raw) }

func leafTemplate(id Identity, end time.Time) *x509.Certificate {
	usage := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if id.Role == pb.Role_ROLE_SERVER {
		usage = append(usage, x509.ExtKeyUsageServerAuth)
	}
	start := time.Now().Add(-backdate)
	if end.Before(start) {
		start = end.Add(-backdate)
	}
	return &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: id.String()},
		NotBefore:    start,
		NotAfter:     end,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  usage,
		URIs:         []*url.URL{id.URI()},
	}
}

func createAuthority(dir string) (*Authority, error) {
	a, err := NewAuthority()
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(a.key)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	if err := writeFiles(dir, map[string][]byte{caFile: a.PEM(), authorityKey: keyPEM}); err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	return a, nil
}

func parseAuthority(certPEM, keyPEM []byte) (*Authority, error) {
	cert, err := parseCert(certPEM)
	if err != nil {
		return nil, fmt.Errorf("open authority: %w", err)
	}
	block, _ := pem.Decode(keyPEM)
	if block == nil {
		return nil, fmt.Errorf("open authority: %s is not PEM", authorityKey)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("open authority: %w", err)
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok || !signer.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("open authority: %s does not belong to %s", authorityKey, caFile)
	}
	return &Authority{cert: cert, key: signer}, nil
}

// serial is random: two certificates never share one. crypto/rand never fails.
func serial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b[:])
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func parseCert(data []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("parse certificate: not PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

// Signed tells whether a bundle's certificate is valid under this authority.
func (a *Authority) Signed(b *Bundle) bool {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	_, err := verify(roots, []*x509.Certificate{b.cert.Leaf})
	return err == nil
}
