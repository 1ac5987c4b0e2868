package notify

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

func TestWrongSinksAreRefusedWithPlaceValueAndFix(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*pb.Sink)
		says   string // place and value
		hidden string // what must not be told again
	}{
		"a name":               {func(s *pb.Sink) { s.Name = "Ops team" }, `name: "Ops team"`, ""},
		"no kind":              {func(s *pb.Sink) { s.Kind = 0 }, `kind: "unspecified"`, ""},
		"another kind":         {func(s *pb.Sink) { s.Kind = 99 }, `kind: "99"`, ""},
		"no address":           {func(s *pb.Sink) { s.Url = "" }, "url: the sink has no address", ""},
		"two addresses":        {func(s *pb.Sink) { s.UrlSecret = "hook" }, `url: the sink has an address, and a secret "hook"`, ""},
		"no address at all":    {func(s *pb.Sink) { s.Url = "hooks.test/x" }, `url: "hooks.test/x"`, ""},
		"another protocol":     {func(s *pb.Sink) { s.Url = "file:///etc/passwd" }, `url: "file:///etc/passwd"`, ""},
		"credentials":          {func(s *pb.Sink) { s.Url = "https://kim:hunter2@hooks.test/" }, `url: the address of host "hooks.test" has credentials`, "hunter2"},
		"a broken one":         {func(s *pb.Sink) { s.Url = "https://kim:hunter2@hooks.test:x/" }, "url: the address can't be read", "hunter2"},
		"a token in the query": {func(s *pb.Sink) { s.Url = "https://hooks.test/?a=1&api_key=hunter2" }, `url: its query has "api_key"`, "hunter2"},
		"a signature there":    {func(s *pb.Sink) { s.Url = "https://hooks.test/?X-Sig=hunter2" }, `url: its query has "X-Sig"`, "hunter2"},
		"Slack's address":      {func(s *pb.Sink) { s.Url = "https://hooks.slack.com/services/hunter2" }, "url: an address at hooks.slack.com is a secret", "hunter2"},
		"a secret's value":     {func(s *pb.Sink) { s.SignSecret = "Hunter2 is my key" }, "sign_secret: that is not the name", "Hunter2"},
		"a way out":            {func(s *pb.Sink) { s.SignSecret = "../../etc/shadow" }, "sign_secret: ", "shadow"},
		"a readable token":     {func(s *pb.Sink) { s.Url, s.TokenSecret = "http://hooks.test/", "token" }, "url: a token would be readable on the way to http://hooks.test", ""},
		"an event":             {func(s *pb.Sink) { s.Events = []string{"run.begun", "run.began"} }, `events[1]: there is no event "run.began"`, ""},
		"an event twice":       {func(s *pb.Sink) { s.Events = []string{"all", "all"} }, `events[1]: "all" stands there twice`, ""},
		"tags":                 {func(s *pb.Sink) { s.Tags = []string{"a"} }, "tags: only annotations", ""},
		"a file of another":    {func(s *pb.Sink) { s.CaFile = "/dev/ptmx" }, `ca_file: "/dev/ptmx"`, ""},
		"a file above":         {func(s *pb.Sink) { s.CaFile = "../ca.pem" }, `ca_file: "../ca.pem"`, ""},
		"a folder":             {func(s *pb.Sink) { s.CaFile = ".." }, `ca_file: ".."`, ""},
		"Slack without":        {func(s *pb.Sink) { s.Kind = pb.SinkKind_SINK_KIND_SLACK }, "url_secret: the address of an incoming webhook is a secret", ""},
		"Slack signed": {func(s *pb.Sink) {
			s.Kind, s.Url, s.UrlSecret, s.SignSecret = pb.SinkKind_SINK_KIND_SLACK, "", "hook", "key"
		}, `sign_secret: "key" can sign nothing`, ""},
		"Slack's token": {func(s *pb.Sink) {
			s.Kind, s.Url, s.UrlSecret, s.TokenSecret = pb.SinkKind_SINK_KIND_SLACK, "", "hook", "token"
		}, `token_secret: "token" is for nothing`, ""},
		"many tags": {func(s *pb.Sink) { s.Kind, s.Tags = pb.SinkKind_SINK_KIND_GRAFANA, make([]string, 11) }, "tags: 11 are more than 10", ""},
		"a tag":     {func(s *pb.Sink) { s.Kind, s.Tags = pb.SinkKind_SINK_KIND_GRAFANA, []string{""} }, `tags: "" can't be a tag`, ""},
	} {
		s := &pb.Sink{Name: "ops", Kind: pb.SinkKind_SINK_KIND_CLOUDEVENTS, Url: "https://hooks.test/"}
		c.change(s)
		_, _, p := Kept(s)
		if p.GetRefusal() != pb.Refusal_REFUSAL_INVALID || !strings.HasPrefix(p.GetMessage(), c.says) || p.GetFix() == "" || p.GetPath() == "" {
			t.Errorf("%s is refused with %v", what, p)
		}
		if c.hidden != "" && strings.Contains(p.GetMessage()+p.GetFix(), c.hidden) {
			t.Errorf("%s: the refusal tells it: %v", what, p)
		}
	}
}

func TestDefaultsOfSinks(t *testing.T) {
	for kind, events := range asDefault {
		s := &pb.Sink{Name: "ops", Kind: kind, Url: "http://hooks.test/"}
		if kind == pb.SinkKind_SINK_KIND_SLACK {
			s.Url, s.UrlSecret = "", "hook"
		}
		kept, warnings, p := Kept(s)
		if p != nil || !slices.Equal(kept.GetEvents(), events) {
			t.Errorf("%v: %v, %v", kind, kept, p)
		}
		if want := map[pb.SinkKind]int{pb.SinkKind_SINK_KIND_CLOUDEVENTS: 2, pb.SinkKind_SINK_KIND_GRAFANA: 1}[kind]; len(warnings) != want {
			t.Errorf("%v: warnings %q", kind, warnings)
		}
		s.Events = []string{"all"}
		if kept, _, _ := Kept(s); !slices.Equal(kept.GetEvents(), state.Events()) {
			t.Errorf("%v: all are %v", kind, kept.GetEvents())
		}
	}
}

// TestTheAuthoritiesOfAFileVouch, and nobody else for that sink.
func TestTheAuthoritiesOfAFileVouch(t *testing.T) {
	at := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer at.Close()
	r := newRig(t)
	r.dir = t.TempDir()
	file := filepath.Join(r.dir, "ca.pem")
	sink := &pb.Sink{Name: "ops", Kind: pb.SinkKind_SINK_KIND_CLOUDEVENTS, Url: at.URL, CaFile: "ca.pem"}
	s := r.sender()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: at.Certificate().Raw})
	if err := os.WriteFile(file, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Test(t.Context(), sink, "a", time.Now()); err != nil {
		t.Error(err)
	}
	sink.CaFile = ""
	if err := s.Test(t.Context(), sink, "a", time.Now()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("by the system's: %v", err)
	}
}

// FuzzSinks: whatever is asked for, a sink that is kept has no credentials in its
// address and only names of secrets, and what is said of one that is refused is whole.
func FuzzSinks(f *testing.F) {
	for _, s := range []*pb.Sink{
		{Name: "ops", Kind: 1, Url: "https://kim:x@hooks.test/?token=1", Events: []string{"all"}, SignSecret: "key"},
		{Name: "ops", Kind: 2, UrlSecret: "hook", NamedOnly: true},
		{Name: "ops", Kind: 3, Url: "http://[::1]:3000", TokenSecret: "t", Tags: []string{"a"}, CaFile: "x.pem"},
	} {
		data, err := proto.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &pb.Sink{}
		if proto.Unmarshal(data, s) != nil {
			return
		}
		kept, _, p := Kept(s)
		if p != nil {
			if p.GetMessage() == "" || p.GetFix() == "" || p.GetPath() == "" {
				t.Fatalf("%v is refused with %v", s, p)
			}
			return
		}
		to, err := url.Parse(kept.GetUrl())
		if err != nil || to.User != nil || len(kept.GetEvents()) == 0 {
			t.Fatalf("%v is kept", kept)
		}
		for _, name := range []string{kept.GetUrlSecret(), kept.GetSignSecret(), kept.GetTokenSecret()} {
			if name != "" && !plainName(name) {
				t.Fatalf("a secret is named %q", name)
			}
		}
		if file := kept.GetCaFile(); file != "" && (filepath.Base(file) != file || strings.HasPrefix(file, ".")) {
			t.Fatalf("a file is named %q", file)
		}
	})
}

// FuzzRetryAfter: no answer holds a sink up for longer than five minutes.
func FuzzRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Wed, 21 Oct 2026 07:28:00 GMT")
	f.Add("99999999999999999999")
	f.Fuzz(func(t *testing.T, text string) {
		if d := retryAfter(text); d < 0 || d > retryAfterMost {
			t.Fatalf("%q is %s", text, d)
		}
	})
}

// TestWhatAReceiverAnswersIsNotTold, though net/http quotes an answer that it can't read.
func TestWhatAReceiverAnswersIsNotTold(t *testing.T) {
	at := newReceiver(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		c, _, _ := w.(http.Hijacker).Hijack()
		_, _ = c.Write([]byte("T0PSECRET of " + r.URL.Path + "\r\n\r\n"))
		_ = c.Close()
	})
	err := newRig(t).sender().Test(t.Context(), events("ops", at), "a", time.Now())
	if err == nil || err.Error() != "its answer is none that HTTP or TLS has" {
		t.Errorf("it is told as %v", err)
	}
}
