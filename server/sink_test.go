package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
	"squall/server/consensus"
	"squall/server/notify"
)

// mailbox is a sink that counts what it was told, by id.
type mailbox struct {
	*httptest.Server
	mu    sync.Mutex // guards all below
	told  map[string]int
	whole bytes.Buffer
	// does answers; nil takes everything.
	does func(w http.ResponseWriter, r *http.Request)
}

func newMailbox(t *testing.T) *mailbox {
	m := &mailbox{told: make(map[string]int)}
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	return m
}

// ServeHTTP implements http.Handler.
func (m *mailbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var e struct{ ID string }
	_ = json.Unmarshal(body, &e) // of other kinds there is none
	m.mu.Lock()
	m.told[e.ID]++
	m.whole.Write(body)
	does := m.does
	m.mu.Unlock()
	if does != nil {
		does(w, r)
	}
}

func (m *mailbox) count(id string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.told[id]
}

// logs is a log in memory that several servers write to.
type logs struct {
	mu  sync.Mutex // guards all
	all bytes.Buffer
}

// Write implements io.Writer.
func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

// telling are servers that tell sinks, with secrets in a folder of their own.
func telling(t *testing.T, timing consensus.Timing, secrets map[string]string, log io.Writer) *region {
	t.Helper()
	return newRegionThat(t, timing, func(u *unit) {
		dir := t.TempDir()
		for name, value := range secrets {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(value+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		u.cfg.Secrets = notify.Secrets{Dir: dir}
		u.cfg.NotifyPace = notify.Pace{Attempt: 2 * time.Second, First: 10 * time.Millisecond, Last: 200 * time.Millisecond, Limit: time.Minute, Record: 50 * time.Millisecond}
		u.cfg.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
}

func (r *region) putSink(u *unit, s *pb.Sink) {
	r.t.Helper()
	if _, err := r.user(u).PutSink(within(r.t, enough), &pb.PutSinkRequest{Id: "put-" + s.GetName(), Sink: s, Reason: "a test"}); err != nil {
		r.t.Fatal(err)
	}
}

// missSlots has a schedule miss n slots from a number on.
func (r *region) missSlots(from, n int) {
	r.t.Helper()
	for i := from; i < from+n; i++ {
		cmd := &pb.Command{Id: fmt.Sprint("missed ", i), Kind: &pb.Command_PassSlot{PassSlot: &pb.PassSlot{
			Slot: &pb.SlotRef{Schedule: "weekly", Slot: fmt.Sprintf("2099-01-01T10:%05d", i)}, Outcome: pb.SlotOutcome_SLOT_OUTCOME_MISSED, Why: "a test",
		}}}
		if _, err := r.leader().Propose(within(r.t, enough), cmd); err != nil {
			r.t.Fatal(err)
		}
	}
}

func missedSlot(i int) string { return fmt.Sprintf("weekly/slot.missed/2099-01-01T10:%05d/1", i) }

func (r *region) weekly() {
	r.t.Helper()
	r.command(r.leader(), "weekly", &pb.Command{Kind: &pb.Command_PutSchedule{PutSchedule: &pb.PutSchedule{
		Name: "weekly", After: "2098-01-01T00:00", Experiment: &pb.Experiment{Version: 1, Name: "drill", Schedule: &pb.Schedule{Every: "day at 10:00", Timezone: "UTC"}},
	}}})
}

// TestSinksAreToldThoughLeadersGo: three servers, of which the one that leads is
// taken away again and again.
func TestSinksAreToldThoughLeadersGo(t *testing.T) {
	r := telling(t, calm(), nil, io.Discard)
	box := newMailbox(t)
	r.putSink(r.leader(), &pb.Sink{Name: "ops", Kind: pb.SinkKind_SINK_KIND_CLOUDEVENTS, Url: box.URL})
	r.weekly()
	const each, lives = 20, 3
	for life := range lives {
		r.missSlots(life*each, each)
		lead := r.leader()
		r.kill(lead)
		r.leader()
		r.start(lead)
	}
	r.wait("all to be on record", func() bool {
		s := r.leader().State()
		return s.Sink("ops") != nil && len(s.Notices("ops", 0)) == 0 && s.Sink("ops").GetDelivered() >= lives*each
	})
	repeats := 0
	for i := range lives * each {
		n := box.count(missedSlot(i))
		if n == 0 {
			t.Errorf("%s never arrived", missedSlot(i))
		}
		repeats += max(0, n-1)
	}
	t.Logf("%d arrived more than once", repeats)
}

// TestEachServerTriesASink: one lacks the secret, and says so.
func TestEachServerTriesASink(t *testing.T) {
	box := newMailbox(t)
	r := telling(t, calm(), map[string]string{"key": "correct horse", "key.hosts": box.Listener.Addr().String()}, io.Discard)
	lead := r.leader()
	r.putSink(lead, &pb.Sink{Name: "ops", Kind: pb.SinkKind_SINK_KIND_CLOUDEVENTS, Url: box.URL, SignSecret: "key"})
	r.wait("all to know it", func() bool {
		for _, u := range r.servers {
			if u.State().Sink("ops") == nil {
				return false
			}
		}
		return true
	})
	if err := os.Remove(filepath.Join(r.servers[1].cfg.Secrets.Dir, "key")); err != nil {
		t.Fatal(err)
	}
	res, err := r.user(r.follower()).TestSink(within(t, enough), &pb.TestSinkRequest{Name: "ops"})
	if err != nil || len(res.GetTrials()) != 3 {
		t.Fatalf("%v, %v", res, err)
	}
	for i, trial := range res.GetTrials() {
		lacks := strings.Contains(trial.GetProblem(), `secret "key" is not on this server`) && trial.GetFix() != ""
		if trial.GetServer() != string(rune('a'+i)) || lacks != (i == 1) || i != 1 && trial.GetProblem() != "" {
			t.Errorf("%v", trial)
		}
	}
	r.wait("the server that lacks it to say so", func() bool { return strings.Contains(r.servers[1].lacks()["ops"], `secret "key"`) })
	if why := r.servers[0].lacks()["ops"]; why != "" {
		t.Errorf("another says that it lacks %s", why)
	}
}

// TestSecretsStayOutOfEverythingThatIsKept: logs, the record of acts, and every
// byte in the servers' folders.
func TestSecretsStayOutOfEverythingThatIsKept(t *testing.T) {
	secrets := map[string]string{"key": "S3CRETKEY0123", "token": "S3CRETTOKEN0123"}
	log := &logs{}
	box := newMailbox(t)
	box.does = func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, r.Header.Get("Authorization"), http.StatusBadRequest)
	}
	secrets["key.hosts"], secrets["token.hosts"] = box.Listener.Addr().String(), box.Listener.Addr().String()
	secrets["hook"] = box.URL + "/services/S3CRETPATH0123"
	r := telling(t, calm(), secrets, log)
	lead := r.leader()
	r.putSink(lead, &pb.Sink{Name: "ops", Kind: pb.SinkKind_SINK_KIND_CLOUDEVENTS, Url: box.URL, SignSecret: "key", TokenSecret: "token"})
	r.putSink(lead, &pb.Sink{Name: "slack", Kind: pb.SinkKind_SINK_KIND_SLACK, UrlSecret: "hook"})
	r.weekly()
	r.missSlots(0, 3)
	r.wait("all to be given up", func() bool {
		v := lead.State()
		return v.Sink("ops").GetDeadEver() == 3 && v.Sink("slack").GetDeadEver() == 3
	})
	if _, err := r.user(lead).TestSink(within(t, enough), &pb.TestSinkRequest{Name: "slack"}); err != nil {
		t.Fatal(err)
	}
	answers, err := r.user(lead).ListDeadNotices(within(t, enough), &pb.ListDeadNoticesRequest{})
	if err != nil || len(answers.GetDead()) != 6 {
		t.Fatalf("%v, %v", answers, err)
	}
	kept := map[string][]byte{"the log": log.all.Bytes(), "an answer": []byte(answers.String())}
	if kept["the state"], err = proto.Marshal(lead.machine.Snapshot()); err != nil {
		t.Fatal(err)
	}
	for _, u := range r.servers {
		r.kill(u)
		err := filepath.WalkDir(u.cfg.Dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				kept[path], err = os.ReadFile(path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for where, data := range kept {
		for _, secret := range []string{"S3CRETKEY", "S3CRETTOKEN", "S3CRETPATH"} {
			if bytes.Contains(data, []byte(secret)) {
				t.Errorf("%s has %s", where, secret)
			}
		}
	}
	if n := len(kept); n < 6 {
		t.Errorf("only %d places were searched", n)
	}
}

// TestNoRunWaitsForASink: while every sink hangs, commands take as long as ever.
func TestNoRunWaitsForASink(t *testing.T) {
	r := telling(t, calm(), nil, io.Discard)
	box := newMailbox(t)
	box.does = func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }
	lead := r.leader()
	for i := range 8 {
		r.putSink(lead, &pb.Sink{Name: fmt.Sprint("ops-", i), Kind: pb.SinkKind_SINK_KIND_CLOUDEVENTS, Url: box.URL})
	}
	r.weekly()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	began := time.Now()
	r.missSlots(0, 50)
	if err := ctx.Err(); err != nil {
		t.Errorf("50 commands took %s", time.Since(began))
	}
	if n := len(lead.State().Notices("ops-0", 0)); n != 50 {
		t.Errorf("%d of 50 wait", n)
	}
}
