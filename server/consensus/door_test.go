package consensus

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"squall/proto/pki"
	pb "squall/proto/squall/v1"
)

// A connection that a raft port accepts is read from; one that it refuses is
// closed by an alert.
func TestRaftPortLetsInServersAlone(t *testing.T) {
	ca, foreign := newAuthority(t), newAuthority(t)
	expired, err := ca.IssueUntil(pki.Identity{Role: pb.Role_ROLE_SERVER, Name: "old"}, time.Now().Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	none := issue(t, ca, pb.Role_ROLE_SERVER, "none").ClientTLS()
	none.Certificates = nil
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Listener: l, Bundle: issue(t, ca, pb.Role_ROLE_SERVER, "s0"), Log: slog.New(slog.DiscardHandler)}
	port := newTransport(cfg, bridge(cfg.Log)).(*transport)
	defer port.Close()
	for _, c := range []struct {
		who  string
		tls  *tls.Config
		open bool
	}{
		{"a server", issue(t, ca, pb.Role_ROLE_SERVER, "s1").ClientTLS(), true},
		{"an agent", issue(t, ca, pb.Role_ROLE_AGENT, "web").ClientTLS(), false},
		{"a user", issue(t, ca, pb.Role_ROLE_USER, "kim").ClientTLS(), false},
		{"nobody", none, false},
		{"an expired server", expired.ClientTLS(), false},
		{"a server of another authority", insecure(issue(t, foreign, pb.Role_ROLE_SERVER, "s1")), false},
	} {
		t.Run(c.who, func(t *testing.T) {
			if got := enters(t, l.Addr().String(), c.tls, c.open); got != c.open {
				t.Errorf("let in: %v, not %v", got, c.open)
			}
		})
	}
	t.Run("plain text", func(t *testing.T) {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("\x00 a raft message, in the open")); err != nil {
			t.Fatal(err)
		}
		if stays(conn, false) {
			t.Error("a connection without TLS was kept")
		}
	})
}

// insecure trusts whoever answers, as an attacker would.
func insecure(b *pki.Bundle) *tls.Config {
	c := b.ClientTLS()
	c.VerifyConnection = nil
	return c
}

func enters(t *testing.T, address string, cfg *tls.Config, should bool) bool {
	t.Helper()
	conn, err := tls.Dial("tcp", address, cfg)
	if err != nil {
		return false
	}
	defer conn.Close()
	return stays(conn, should)
}

// stays tells whether the other end keeps the connection open. One that should be
// closed is waited for, since a busy machine may take its time.
func stays(conn net.Conn, should bool) bool {
	wait := enough
	if should {
		wait = 300 * time.Millisecond
	}
	_ = conn.SetReadDeadline(time.Now().Add(wait))
	_, err := conn.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}
