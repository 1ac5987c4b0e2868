package pki

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

var (
	serverA = Identity{pb.Role_ROLE_SERVER, "a"}
	agentW  = Identity{pb.Role_ROLE_AGENT, "web-a1"}
	userK   = Identity{pb.Role_ROLE_USER, "kim"}
)

func authority(t *testing.T) *Authority {
	t.Helper()
	a, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issued(t *testing.T, a *Authority, id Identity) *Bundle {
	t.Helper()
	b, err := a.Issue(id)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// shake makes one handshake and returns both ends' errors and the client's
// name as the server saw it.
func shake(t *testing.T, server, client *tls.Config) (seen Identity, serverErr, clientErr error) {
	t.Helper()
	l, r := pair(t)
	done := make(chan error, 1)
	s := tls.Server(l, server)
	go func() { done <- s.HandshakeContext(t.Context()) }()
	clientErr = tls.Client(r, client).HandshakeContext(t.Context())
	if serverErr = <-done; serverErr == nil {
		state := s.ConnectionState()
		seen, serverErr = PeerIdentity(&state)
	}
	return seen, serverErr, clientErr
}

// pair is both ends of a connection that buffers, so that neither waits for
// the other's alert.
func pair(t *testing.T) (server, client net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close(); client.Close() })
	return server, client
}

func TestDoorChecksTheRole(t *testing.T) {
	ca, foreign := authority(t), authority(t)
	door := issued(t, ca, serverA).ServerTLS(pb.Role_ROLE_SERVER, pb.Role_ROLE_USER)
	expired, err := ca.IssueUntil(userK, time.Now().Add(-time.Second))
	if err != nil {
		t.Fatal(err)
	}
	stranger := issued(t, foreign, userK).ClientTLS()
	stranger.VerifyConnection = nil // it would refuse us first
	for _, c := range []struct {
		name   string
		client *tls.Config
		want   error
	}{
		{"a user passes", issued(t, ca, userK).ClientTLS(), nil},
		{"a server passes", issued(t, ca, serverA).ClientTLS(), nil},
		{"an agent has the wrong role", issued(t, ca, agentW).ClientTLS(), ErrWrongRole},
		{"an expired certificate", expired.ClientTLS(), ErrExpired},
		{"another authority's user", stranger, ErrWrongCA},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, got, _ := shake(t, door, c.client)
			if !errors.Is(got, c.want) {
				t.Errorf("the door says %v, not %v", got, c.want)
			}
		})
	}
}

func TestClientRefusesWhatIsNoServer(t *testing.T) {
	ca := authority(t)
	for name, c := range map[string]struct {
		door *Bundle
		want error
	}{
		"an agent that answers": {issued(t, ca, agentW), ErrWrongRole},
		"another authority":     {issued(t, authority(t), serverA), ErrWrongCA},
	} {
		t.Run(name, func(t *testing.T) {
			door := c.door.ServerTLS(pb.Role_ROLE_USER)
			_, _, got := shake(t, door, issued(t, ca, userK).ClientTLS())
			if !errors.Is(got, c.want) {
				t.Errorf("the client says %v, not %v", got, c.want)
			}
		})
	}
}

func TestDoorSeesWhoComes(t *testing.T) {
	ca := authority(t)
	got, err, _ := shake(t, issued(t, ca, serverA).ServerTLS(pb.Role_ROLE_AGENT), issued(t, ca, agentW).ClientTLS())
	if err != nil || got != agentW {
		t.Errorf("saw %v, %v", got, err)
	}
}

func TestBundleSurvivesItsFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kim")
	servers := []Server{{"a", "10.0.0.1:7400"}, {"b", "unix:/run/squall.sock"}}
	if err := issued(t, authority(t), userK).WithServers(servers).Write(dir); err != nil {
		t.Fatal(err)
	}
	b, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if b.Identity != userK || len(b.Servers) != 2 || b.Servers[1] != servers[1] {
		t.Errorf("read back %v and %v", b.Identity, b.Servers)
	}
	info, err := os.Stat(filepath.Join(dir, keyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key has mode %v, %v", info.Mode(), err)
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	ca := authority(t)
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, dir string)
		want  error
	}{
		{"a key that others may read", func(t *testing.T, dir string) {
			if err := os.Chmod(filepath.Join(dir, keyFile), 0o640); err != nil {
				t.Fatal(err)
			}
		}, ErrLooseKey},
		{"another authority's ca.pem", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, caFile), authority(t).PEM(), 0o600); err != nil {
				t.Fatal(err)
			}
		}, ErrWrongCA},
		{"an expired certificate", func(t *testing.T, dir string) {
			b, err := ca.IssueUntil(userK, time.Now().Add(-time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Write(dir); err != nil {
				t.Fatal(err)
			}
		}, ErrExpired},
		{"no key", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, keyFile)); err != nil {
				t.Fatal(err)
			}
		}, os.ErrNotExist},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := issued(t, ca, userK).Write(dir); err != nil {
				t.Fatal(err)
			}
			c.spoil(t, dir)
			if _, err := Load(dir); !errors.Is(err, c.want) {
				t.Errorf("load: %v, not %v", err, c.want)
			}
		})
	}
}

func TestAuthorityIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	first, err := OpenAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !again.Signed(issued(t, first, userK)) {
		t.Error("a bundle of before is not valid under the authority read again")
	}
	if authority(t).Signed(issued(t, first, userK)) {
		t.Error("a bundle is valid under another authority")
	}
}

func TestIssueRefusesBadNames(t *testing.T) {
	ca := authority(t)
	for _, name := range []string{"", "a/b", "../a", "A", "-a", "a b", "é"} {
		if _, err := ca.Issue(Identity{pb.Role_ROLE_USER, name}); err == nil {
			t.Errorf("issued a certificate to %q", name)
		}
	}
	if _, err := ca.Issue(Identity{Name: "kim"}); err == nil {
		t.Error("issued a certificate without a role")
	}
}

func FuzzParseIdentity(f *testing.F) {
	for _, s := range []string{"squall://server/a", "squall://agent/web-a1", "squall://user/", "squall://x/y", "http://a/b", "squall://user/a/b", "squall://user/a?role=server"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		id, err := ParseIdentity(uri)
		if err == nil && id.URI().String() != uri {
			t.Errorf("%q was read as %q", uri, id.URI())
		}
	})
}
