package notify

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// swift is a pace for tests: an hour of trying is a second.
var swift = Pace{Attempt: 300 * time.Millisecond, First: time.Millisecond, Last: 20 * time.Millisecond, Limit: 400 * time.Millisecond, Record: 2 * time.Millisecond}

// rig is a replicated state, and leaders that work on it.
type rig struct {
	t  *testing.T
	mu sync.Mutex // guards all below, and orders commands
	m  *state.Machine
	// refuse makes proposals fail: nobody leads.
	refuse bool
	index  uint64
	env    map[string]string
	dir    string // of secrets; empty is none
	log    strings.Builder
	pace   Pace
}

func newRig(t *testing.T) *rig {
	return &rig{t: t, m: state.New(), env: map[string]string{}, pace: swift}
}

// Write takes the log.
func (r *rig) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

func (r *rig) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

func (r *rig) propose(_ context.Context, c *pb.Command) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse {
		return errors.New("nobody leads")
	}
	c = proto.CloneOf(c)
	c.AtUnixNanos = time.Now().UnixNano()
	r.index++
	if o := r.m.Apply(r.index, c); o.GetRefused() != nil {
		return errors.New(o.GetRefused().GetMessage())
	}
	return nil
}

func (r *rig) do(c *pb.Command) {
	r.t.Helper()
	c.Id = rand.Text()
	if err := r.propose(r.t.Context(), c); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) mute(is bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = is
}

// lead begins a term. What it returns ends it and waits.
func (r *rig) lead() (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	var work sync.WaitGroup
	d := &Deliverer{
		View: r.m.View, Propose: r.propose, Now: time.Now, Sender: r.sender(), Pace: r.pace,
		Log: slog.New(slog.NewTextHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	work.Go(func() { d.Lead(ctx) })
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); work.Wait() }) }
	r.t.Cleanup(stop)
	return stop
}

func (r *rig) sender() *Sender {
	return &Sender{Source: "urn:squall:test", Secrets: Secrets{Dir: r.dir, Env: func(name string) (string, bool) {
		v, ok := r.env[name]
		return v, ok
	}}}
}

// put keeps a sink as the door would.
func (r *rig) put(s *pb.Sink) {
	r.t.Helper()
	kept, _, wrong := Kept(s)
	if wrong != nil {
		r.t.Fatal(wrong)
	}
	r.do(&pb.Command{Kind: &pb.Command_PutSink{PutSink: &pb.PutSink{Sink: kept}}})
}

// happen has n schedules miss a slot: each is one notice.
func (r *rig) happen(from, n int) {
	r.t.Helper()
	if r.m.View().Schedule("weekly") == nil {
		r.do(&pb.Command{Kind: &pb.Command_PutSchedule{PutSchedule: &pb.PutSchedule{
			Name: "weekly", After: "2026-01-01T00:00", Experiment: &pb.Experiment{Name: "drill", Schedule: &pb.Schedule{Every: "day at 10:00", Timezone: "UTC"}},
		}}})
	}
	for i := range n {
		r.do(&pb.Command{Kind: &pb.Command_PassSlot{PassSlot: &pb.PassSlot{
			Slot: &pb.SlotRef{Schedule: "weekly", Slot: slot(from + i)}, Outcome: pb.SlotOutcome_SLOT_OUTCOME_MISSED, Why: "nobody led",
		}}})
	}
}

func slot(i int) string { return fmt.Sprintf("2026-02-%02dT%02d:00", 1+i/24, i%24) }

// missed is the id of the notice of a slot.
func missed(i int) string { return "weekly/slot.missed/" + slot(i) + "/1" }

func (r *rig) sink(name string) *pb.KeptSink { return r.m.View().Sink(name) }

func (r *rig) wait(what string, holds func() bool) {
	r.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if holds() {
			return
		}
	}
	r.t.Fatalf("waited for %s; log:\n%s", what, r.said())
}

// request is one that a receiver got.
type request struct {
	header http.Header
	path   string
	body   []byte
}

// receiver is a sink that takes what it gets, unless it is told to do otherwise.
type receiver struct {
	*httptest.Server
	mu   sync.Mutex // guards got
	got  []request
	does func(n int, w http.ResponseWriter, r *http.Request) // n counts from 1
}

func newReceiver(t *testing.T, does func(int, http.ResponseWriter, *http.Request)) *receiver {
	t.Helper()
	v := &receiver{does: does}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	return v
}

// ServeHTTP implements http.Handler.
func (v *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	v.mu.Lock()
	v.got = append(v.got, request{r.Header, r.URL.Path, body})
	n := len(v.got)
	v.mu.Unlock()
	if v.does != nil {
		v.does(n, w, r)
	}
}

// host is what a secret's list names, for it to go there.
func (v *receiver) host() string { return v.Listener.Addr().String() }

func (v *receiver) requests() []request {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.got)
}

// events is a sink of CloudEvents at a receiver.
func events(name string, at *receiver) *pb.Sink {
	return &pb.Sink{Name: name, Kind: pb.SinkKind_SINK_KIND_CLOUDEVENTS, Url: at.URL}
}
