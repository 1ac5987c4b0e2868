package server

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
	"squall/server/archive"
	"squall/server/report"
	"squall/server/state"
)

// letGo is a state that knows a run, and that servers have it, but not the run.
func letGo(t *testing.T, e archive.Entry, servers ...string) *state.View {
	t.Helper()
	m := state.New()
	err := m.Restore(&pb.State{Rules: state.Rules, Archived: map[string]*pb.Archived{e.Run(): {
		Summary: e.Seal.GetSummary(), Digest: e.Digest, Servers: servers, Released: true, Bytes: uint64(e.Bytes),
		DoneUnixNanos: time.Now().Add(-2 * time.Hour).UnixNano(),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return m.View()
}

func finishedRun(id string) archive.Record {
	r := &pb.Run{
		Id: id, State: pb.RunState_RUN_STATE_DONE, Verdict: pb.Verdict_VERDICT_FAIL, AdmittedIndex: 7, Experiment: &pb.Experiment{Name: "dark", Title: "Lose a zone"},
		Plan:   &pb.Plan{Experiment: "dark", Probes: []*pb.PlannedProbe{{Name: "shop"}}},
		Events: []*pb.Event{{Index: 8, Text: "verdict fail"}},
		Totals: []*pb.ProbeTotal{{Total: &pb.Window{Probe: "shop", Count: 60, Success: 30}, Worst: &pb.Window{Probe: "shop", Second: 9, Count: 1}}},
	}
	return archive.Record{
		Run: r, Summary: &pb.RunSummary{Id: id, Experiment: "dark", AdmittedIndex: 7, Verdict: r.Verdict, State: r.State},
		Windows: func(yield func(*pb.Window) bool) {
			for i := range int64(3000) {
				if !yield(&pb.Window{Run: id, Probe: "shop", Second: i, Count: 1}) {
					return
				}
			}
		},
	}
}

// A run that the state has let go of is told whole by any server, from whichever
// has it; where none has, that is what is told.
func TestArchivedRunIsToldByAnyServer(t *testing.T) {
	r := newRegion(t)
	a, b := r.servers[0], r.servers[1]
	rec := finishedRun("dark-1")
	e, err := b.keeper.archive.Put(rec)
	if err != nil {
		t.Fatal(err)
	}
	for name, u := range map[string]*unit{"its own": b, "another's": a} {
		run, err := u.keeper.find(within(t, enough), letGo(t, e, "b"), "dark-1")
		if err != nil || !proto.Equal(run, rec.Run) {
			t.Fatalf("from %s archive: %v, %v", name, run, err)
		}
		if p := report.Of(letGo(t, e, "b"), run).GetProbes(); len(p) != 1 || p[0].GetCount() != 60 {
			t.Errorf("from %s archive the report has the probes %v", name, p)
		}
	}
	if _, err := a.keeper.find(within(t, enough), letGo(t, e), "dark-1"); problemOf(err).GetRefusal() != pb.Refusal_REFUSAL_UNKNOWN || !strings.Contains(err.Error(), "no server has it any more") {
		t.Errorf("gone from everywhere: %v", err)
	}
	if _, err := a.keeper.find(within(t, enough), letGo(t, e, "b"), "dark-2"); !strings.Contains(err.Error(), `there is no run "dark-2"`) {
		t.Errorf("a run that never was: %v", err)
	}
	path := filepath.Join(b.cfg.Dir, "archive", e.File)
	data, _ := os.ReadFile(path)
	data[40] ^= 1 // in the run itself
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.keeper.find(within(t, enough), letGo(t, e, "b"), "dark-1"); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "archive of b") {
		t.Errorf("damaged on the way: %v", err)
	}
}

func problemOf(err error) *pb.Problem {
	for _, d := range status.Convert(err).Details() {
		if p, ok := d.(*pb.Problem); ok {
			return p
		}
	}
	return nil
}

// What a server takes from another is checked, and kept durably.
func TestServerTakesWhatItLacks(t *testing.T) {
	r := newRegion(t)
	a, b := r.servers[0], r.servers[1]
	e, err := b.keeper.archive.Put(finishedRun("dark-1"))
	if err != nil {
		t.Fatal(err)
	}
	view := letGo(t, e, "b")
	if _, err := a.keeper.take(within(t, enough), view, view.Archived("dark-1"), nil); err != nil {
		t.Fatal(err)
	}
	if err := a.keeper.archive.Verify("dark-1"); err != nil {
		t.Error(err)
	}
	if err := a.keeper.archive.Remove("dark-1"); err != nil {
		t.Fatal(err)
	}
	a.keeper.limits = archive.Limits{Age: time.Hour}
	if _, err := a.keeper.take(within(t, enough), view, view.Archived("dark-1"), a.keeper.crowded(view.AllArchived())["dark-1"]); !errors.Is(err, errNoRoom) {
		t.Errorf("a run that the limits are against is taken with %v", err)
	}
}

// What left every archive by its limits is not looked for, though it is small
// and there is room for it; what is lost is.
func TestLimitsTellWhatIsLostFromWhatHadToGo(t *testing.T) {
	m := state.New()
	lines := map[string]*pb.Archived{}
	for i, bytes := range []uint64{3, 60, 30, 20, 40} { // oldest first
		id := fmt.Sprint("r", i)
		lines[id] = &pb.Archived{Summary: &pb.RunSummary{Id: id, AdmittedIndex: uint64(i)}, Released: true, Bytes: bytes, DoneUnixNanos: int64(i)}
	}
	if err := m.Restore(&pb.State{Rules: state.Rules, Archived: lines}); err != nil {
		t.Fatal(err)
	}
	k := &keeper{server: &Server{cfg: Config{Wall: time.Now}, machine: m}, archive: archive.New(t.TempDir()), limits: archive.Limits{Bytes: 100}, log: slog.New(slog.DiscardHandler)}
	if news := k.look(t.Context(), m.View()); len(news) != 0 {
		t.Errorf("it tells %v", news)
	}
	if failing := slices.Sorted(maps.Keys(k.failing)); !slices.Equal(failing, []string{"r2", "r3", "r4"}) {
		t.Errorf("lacking are %v", failing)
	}
	for run, err := range k.failing {
		if !errors.Is(err, errNowhere) {
			t.Errorf("%s is lacking since %v", run, err)
		}
	}
}
