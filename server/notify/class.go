package notify

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"syscall"
)

// class is what went wrong with a request, as one of a few sentences of our own. An
// error's text may hold an address that is a secret, or words of the other side.
func class(err error) string {
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	var slow net.Error
	switch {
	case errors.As(err, &name):
		return "its name could not be resolved"
	case errors.As(err, &certificate):
		return "its certificate was not verified: " + doubt(certificate)
	case errors.As(err, &slow) && slow.Timeout():
		return "it did not answer in time"
	case errors.Is(err, io.EOF):
		return "it closed the connection without an answer"
	}
	return broken(err)
}

// broken is the class of an error of a connection.
func broken(err error) string {
	var network *net.OpError
	if !errors.As(err, &network) {
		return "its answer is none that HTTP or TLS has"
	}
	switch {
	case network.Op == "proxyconnect":
		return "the proxy of this server's environment was not reached"
	case network.Op == "remote error":
		return "it broke TLS off"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "it refused the connection"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "it broke the connection off"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no way to it from this server"
	}
	return "the connection to it failed"
}

// doubt is why a certificate was not verified.
func doubt(err error) string {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &authority):
		return "no authority that this server trusts vouches for it"
	case errors.As(err, &host):
		return "it is for another name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "it has expired, or is not valid yet"
	}
	return "it is not valid"
}
