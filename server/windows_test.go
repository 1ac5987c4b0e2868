package server

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "squall/proto/squall/v1"
	"squall/server/archive"
	"squall/server/state"
)

// windowsOf counts the windows of a run that a server tells, in order.
func windowsOf(t *testing.T, u *unit, v *state.View, run string) (n int, err error) {
	t.Helper()
	for w, err := range u.keeper.windows(within(t, enough), v, run) {
		if err != nil {
			return n, err
		}
		if w.GetRun() != run || w.GetSecond() != int64(n) {
			t.Fatalf("window %d is %v", n, w)
		}
		n++
	}
	return n, nil
}

// Windows of a finished run are told by any server, from whichever has them;
// where none has, that is told, and never an empty run.
func TestWindowsAreToldByAnyServer(t *testing.T) {
	r := newRegion(t)
	a, b := r.servers[0], r.servers[1]
	e, err := b.keeper.archive.Put(finishedRun("dark-1"))
	if err != nil {
		t.Fatal(err)
	}
	for name, u := range map[string]*unit{"its own": b, "another's": a} {
		if n, err := windowsOf(t, u, letGo(t, e, "b"), "dark-1"); n != 3000 || err != nil {
			t.Errorf("from %s archive: %d, %v", name, n, err)
		}
	}
	if n, err := windowsOf(t, a, letGo(t, e), "dark-1"); n != 0 || problemOf(err).GetRefusal() != pb.Refusal_REFUSAL_UNKNOWN || !strings.Contains(err.Error(), "no server has it any more") {
		t.Errorf("gone from everywhere: %d, %v", n, err)
	}
	if _, err := windowsOf(t, a, letGo(t, e, "b"), "dark-2"); err == nil || !strings.Contains(err.Error(), `there is no run "dark-2"`) {
		t.Errorf("a run that never was: %v", err)
	}
	var part bytes.Buffer
	if err := b.keeper.archive.CopyWindows("dark-1", &part); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(b.cfg.Dir, "archive", e.File)
	whole, _ := os.ReadFile(path)
	data := bytes.Clone(whole)
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := windowsOf(t, a, letGo(t, e, "b"), "dark-1"); n == 3000 || status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "archive of b") {
		t.Errorf("damaged on the way: %d, %v", n, err)
	}
	n := 0
	for _, err := range archive.DecodeWindows(&part, e.Digest) {
		if err != nil {
			t.Error(err)
		}
		if n++; n == 7 {
			break
		}
	}
	if n != 7 {
		t.Errorf("%d windows were taken", n)
	}
}

// What was told of a run's windows comes in messages that no client refuses, and
// what is missing has its reason.
func TestWindowsComeInMessages(t *testing.T) {
	r := newRegion(t)
	lead := r.leader()
	user := r.user(lead)
	stream, err := user.Windows(within(t, enough), &pb.WindowsRequest{Run: "nobody"})
	if err == nil {
		_, err = stream.Recv()
	}
	if problem(err).GetRefusal() != pb.Refusal_REFUSAL_UNKNOWN {
		t.Errorf("a run that nobody knows: %v", err)
	}
	r.crowd(lead)
	stream, err = user.Windows(within(t, enough), &pb.WindowsRequest{Run: "r"})
	for err == nil {
		_, err = stream.Recv()
	}
	if !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	k := lead.keeper
	m := state.New()
	if err := m.Restore(&pb.State{Rules: state.Rules, Runs: map[string]*pb.Run{"d": {Id: "d", WindowsDropped: true}}, Archived: map[string]*pb.Archived{"e": {Summary: &pb.RunSummary{Id: "e"}, Lacks: "its windows: no room"}}}); err != nil {
		t.Fatal(err)
	}
	for run, why := range map[string]string{"d": "there was no room", "e": "no room", "r": ""} {
		if got := k.lacksWindows(m.View(), run); !strings.Contains(got, why) || (got == "") != (why == "") {
			t.Errorf("%s lacks %q", run, got)
		}
	}
}

// TestWindowsThatTheStateHadToDropAreToldByAnArchive that took them before.
func TestWindowsThatTheStateHadToDropAreToldByAnArchive(t *testing.T) {
	r := newRegion(t)
	a, b := r.servers[0], r.servers[1]
	rec := finishedRun("dark-1")
	e, err := b.keeper.archive.Put(rec)
	if err != nil {
		t.Fatal(err)
	}
	holds := func(windows ...*pb.Window) *state.View {
		t.Helper()
		m := state.New()
		err := m.Restore(&pb.State{
			Rules: state.Rules, Runs: map[string]*pb.Run{"dark-1": rec.Run}, Windows: windows,
			Archived: map[string]*pb.Archived{"dark-1": {Summary: rec.Summary, Digest: e.Digest, Servers: []string{"b"}, Windows: e.Seal.GetWindows()}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return m.View()
	}
	for name, u := range map[string]*unit{"its own": b, "another's": a} {
		if n, err := windowsOf(t, u, holds(), "dark-1"); n != 3000 || err != nil {
			t.Errorf("dropped, from %s archive: %d, %v", name, n, err)
		}
		if n, err := windowsOf(t, u, holds(&pb.Window{Run: "dark-1", Probe: "shop"}), "dark-1"); n != 1 || err != nil {
			t.Errorf("from the state: %d, %v", n, err)
		}
	}
}
