package notify

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// bounded is a rig with a secret in a file and one in a variable, of which each
// may go to one host.
func bounded(t *testing.T, host string) *rig {
	t.Helper()
	r := newRig(t)
	r.dir = t.TempDir()
	for name, value := range map[string]string{"token": "T0PSECRET", "token.hosts": "grafana.test\n" + host + "\n", "free": "T0PSECRET"} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.env["SQUALL_SECRET_KEY"], r.env["SQUALL_SECRET_KEY_HOSTS"] = "T0PSECRET", "hooks.test, "+host
	return r
}

// TestASecretGoesWhereItMayAndNowhereElse, whoever puts a sink that names it.
func TestASecretGoesWhereItMayAndNowhereElse(t *testing.T) {
	friend, stranger := newReceiver(t, nil), newReceiver(t, nil)
	r := bounded(t, friend.host())
	r.env["SQUALL_SECRET_HOOK"] = stranger.URL + "/B0PSECRET"
	for what, c := range map[string]struct {
		sink *pb.Sink
		says []string // empty where it is told
	}{
		"a token":               {&pb.Sink{Url: friend.URL, TokenSecret: "token"}, nil},
		"a key":                 {&pb.Sink{Url: friend.URL, SignSecret: "key"}, nil},
		"an address":            {&pb.Sink{UrlSecret: "hook"}, nil},
		"another's token":       {&pb.Sink{Url: stranger.URL, TokenSecret: "token"}, []string{`"token"`, stranger.host(), filepath.Join(r.dir, "token.hosts"), "SQUALL_SECRET_TOKEN_HOSTS"}},
		"another's key":         {&pb.Sink{Url: stranger.URL, SignSecret: "key"}, []string{`"key"`, stranger.host(), filepath.Join(r.dir, "key.hosts"), "SQUALL_SECRET_KEY_HOSTS"}},
		"one that goes nowhere": {&pb.Sink{Url: friend.URL, TokenSecret: "free"}, []string{`"free"`, friend.host(), filepath.Join(r.dir, "free.hosts")}},
		"a token to an address": {&pb.Sink{UrlSecret: "hook", TokenSecret: "token"}, []string{`"token"`, `the host of secret "hook"`, "token.hosts"}},
		"a token as an address": {&pb.Sink{UrlSecret: "token"}, []string{`"token" is no address`}},
	} {
		before := len(stranger.requests())
		c.sink.Name, c.sink.Kind = "ops", pb.SinkKind_SINK_KIND_CLOUDEVENTS
		err := r.sender().Test(t.Context(), c.sink, "a", time.Now())
		missing := r.sender().Secrets.Missing(c.sink)
		if (err == nil) != (c.says == nil) || (missing == "") != (c.says == nil) {
			t.Errorf("%s: %v, missing %q", what, err, missing)
			continue
		}
		for _, words := range c.says {
			if !strings.Contains(err.Error(), words) || !strings.Contains(missing, words) || !strings.Contains(missing, "; fix: ") {
				t.Errorf("%s: %v, missing %q: nothing of %s", what, err, missing, words)
			}
		}
		if c.says != nil && (len(stranger.requests()) != before || c.sink.GetUrlSecret() != "" && strings.Contains(missing, stranger.host())) {
			t.Errorf("%s: the stranger is told, or named: %q", what, missing)
		}
	}
	for _, g := range stranger.requests() {
		if g.header.Get("Authorization") != "" || g.header.Get(headerSignature) != "" {
			t.Errorf("the stranger gets %v", g.header)
		}
	}
}

// TestADeadNoticeTellsWhereASecretMayNotGo, with the fix; a host that is added is
// taken up at the next attempt.
func TestADeadNoticeTellsWhereASecretMayNotGo(t *testing.T) {
	at := newReceiver(t, nil)
	r := bounded(t, "elsewhere.test")
	s := events("ops", at)
	s.TokenSecret = "token"
	r.put(s)
	r.lead()
	r.happen(0, 1)
	r.wait("it to be given up", func() bool { return r.sink("ops").GetDeadEver() == 1 })
	for _, words := range []string{at.host(), filepath.Join(r.dir, "token.hosts"), "SQUALL_SECRET_TOKEN_HOSTS", "; fix: "} {
		if why := r.sink("ops").GetDead()[0].GetWhy(); !strings.Contains(why, words) {
			t.Errorf("given up since %q: nothing of %s", why, words)
		}
	}
	if len(at.requests()) != 0 {
		t.Fatal("it was told")
	}
	if err := os.WriteFile(filepath.Join(r.dir, "token.hosts"), []byte(at.host()), 0o600); err != nil {
		t.Fatal(err)
	}
	r.happen(1, 1)
	r.wait("the next to be taken", func() bool { return r.sink("ops").GetDelivered() == 1 })
}

func TestHostsAreNamedWholeWithTheirPorts(t *testing.T) {
	for _, c := range []struct {
		list, url string
		is        bool
	}{
		{"hooks.test", "https://hooks.test/x", true},
		{"hooks.test", "https://hooks.test:443/x", true},
		{"hooks.test:443", "https://hooks.test/x", true},
		{"Hooks.Test", "https://HOOKS.test/x", true},
		{"a.test,hooks.test\nb.test", "https://hooks.test/x", true},
		{"[::1]:3000", "http://[::1]:3000/", true},
		{"hooks.test", "http://hooks.test/", true},
		{"hooks.test:8443", "https://hooks.test:8443/", true},
		{"hooks.test", "https://hooks.test:8443/", false},
		{"hooks.test", "http://hooks.test:443/", false},
		{"hooks.test", "https://hooks.test.evil.test/", false},
		{"hooks.test", "https://evilhooks.test/", false},
		{"hooks.test", "https://evil.test/hooks.test", false},
		{"hooks.test", "https://hooks.test@evil.test/", false},
		{"hooks.test", "https://sub.hooks.test/", false},
		{"*", "https://hooks.test/", false},
		{"", "https://hooks.test/", false},
	} {
		to, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		if names(c.list, to) != c.is {
			t.Errorf("%q names %s: %t", c.list, c.url, !c.is)
		}
	}
}
