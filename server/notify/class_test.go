package notify

import (
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// TestOfAnErrorItsClassIsTold, with neither an address nor a word of the other side.
func TestOfAnErrorItsClassIsTold(t *testing.T) {
	at := &net.TCPAddr{IP: net.IPv4(10, 9, 8, 7), Port: 4443}
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Addr: at, Err: err} }
	for want, err := range map[string]error{
		"its name could not be resolved":                         dial(&net.DNSError{Err: "no such host", Name: "T0PSECRET.test", Server: "10.9.8.7"}),
		"it refused the connection":                              dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)),
		"there is no way to it from this server":                 dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)),
		"it did not answer in time":                              dial(os.NewSyscallError("connect", syscall.ETIMEDOUT)),
		"it broke the connection off":                            &net.OpError{Op: "read", Net: "tcp", Addr: at, Err: syscall.ECONNRESET},
		"it broke TLS off":                                       &net.OpError{Op: "remote error", Err: errors.New("T0PSECRET")},
		"the proxy of this server's environment was not reached": &net.OpError{Op: "proxyconnect", Net: "tcp", Err: dial(syscall.ECONNREFUSED)},
		"the connection to it failed":                            dial(errors.New("T0PSECRET")),
		"it closed the connection without an answer":             io.EOF,
		"its answer is none that HTTP or TLS has":                errors.New("T0PSECRET"),
	} {
		if got := class(&url.Error{Op: "Post", URL: "https://T0PSECRET.test/", Err: err}); got != want {
			t.Errorf("%v is told as %q, want %q", err, got, want)
		}
	}
}

// TestWhyACertificateWasNotVerifiedIsTold, without the names that are in it.
func TestWhyACertificateWasNotVerifiedIsTold(t *testing.T) {
	at := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	at.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	at.StartTLS()
	defer at.Close()
	r := newRig(t)
	r.dir = t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: at.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(r.dir, "ca.pem"), ca, 0o600); err != nil {
		t.Fatal(err)
	}
	here := at.URL + "/T0PSECRET"
	there := strings.Replace(here, "127.0.0.1", "localhost", 1)
	for file, c := range map[string]struct{ hook, want string }{
		"": {here, "no authority that this server trusts vouches for it"}, "ca.pem": {there, "it is for another name"},
	} {
		r.env["SQUALL_SECRET_HOOK"] = c.hook
		err := r.sender().Test(t.Context(), &pb.Sink{Name: "ops", Kind: pb.SinkKind_SINK_KIND_SLACK, UrlSecret: "hook", CaFile: file}, "a", time.Now())
		if err == nil || err.Error() != "its certificate was not verified: "+c.want {
			t.Errorf("%q: it is told as %v", file, err)
		}
	}
}

// TestWhereARedirectLeadsIsNotTold: it may be an address that is a secret.
func TestWhereARedirectLeadsIsNotTold(t *testing.T) {
	at := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "https://t0psecret.test/")
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	err := newRig(t).sender().Test(t.Context(), events("ops", at), "a", time.Now())
	if err == nil || err.Error() != "it answers 307 and sends us elsewhere" {
		t.Errorf("it is told as %v", err)
	}
}

// TestWhyANoticeIsGivenUpIsShortOnItsWay, and not only where it is kept.
func TestWhyANoticeIsGivenUpIsShortOnItsWay(t *testing.T) {
	d := &Deliverer{Log: slog.New(slog.DiscardHandler), done: make(map[string]*pb.SinkProgress)}
	l := newLine(d, &pb.KeptSink{Sink: &pb.Sink{Name: "ops"}, PutIndex: 1})
	l.giveUp(&pb.Notice{Id: "n", Seq: 1}, 1, &Failure{Why: strings.Repeat("x", 1<<20), Fix: "y"})
	if why := d.done["ops"].GetGivenUp()[0].GetWhy(); len(why) != state.MaxWhy {
		t.Errorf("%d bytes are proposed", len(why))
	}
}
