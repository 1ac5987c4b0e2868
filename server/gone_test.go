package server

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"squall/proto/parts"
	pb "squall/proto/squall/v1"
	"squall/server/archive"
)

// TestRunThatIsGoneFromEverywhereIsToldSo: the state has let go of a run, and no
// server has its file any more. Whoever asks for it hears that, and nobody is
// shown an empty run; its line stays.
func TestRunThatIsGoneFromEverywhereIsToldSo(t *testing.T) {
	r := newRegion(t)
	const lost = "dark-000"
	for i := range 102 { // more than the state keeps whole
		r.finishes(fmt.Sprintf("dark-%03d", i))
	}
	r.wait("the archives, and the state to let go", func() bool {
		v := r.leader().State()
		return len(v.Archived("dark-101").GetServers()) == 3 && v.Run(lost) == nil
	})
	for _, what := range []string{"report", "explain"} {
		if err := r.asks(lost)[what]; err != nil {
			t.Errorf("while it is archived, %s of it ends with %v", what, err)
		}
	}
	for _, u := range r.servers {
		r.kill(u)
	}
	for _, u := range r.servers {
		loses(t, u, lost)
		r.start(u)
	}
	r.wait("all servers to say that they have it no longer", func() bool {
		a := r.leader().State().Archived(lost)
		return a != nil && len(a.GetServers()) == 0
	})
	for what, err := range r.asks(lost) {
		p := problem(err)
		if p.GetRefusal() != pb.Refusal_REFUSAL_UNKNOWN || !strings.Contains(p.GetMessage(), `run "`+lost+`" is over, and its archive is gone: no server has it any more`) || p.GetFix() == "" {
			t.Errorf("%s of it ends with %v", what, err)
		}
	}
	r.listsAsGone(lost)
}

// loses takes a run's file from the archive of a server that is down.
func loses(t *testing.T, u *unit, run string) {
	t.Helper()
	dir := filepath.Join(u.cfg.Dir, "archive")
	a, err := archive.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	e, err := a.Entry(run)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, e.File)); err != nil {
		t.Fatal(err)
	}
}

// asks is what a user hears who asks for a run in every way.
func (r *region) asks(run string) map[string]error {
	user, ctx := r.user(r.follower()), within(r.t, enough)
	ended := func(err error, next func() error) error {
		for err == nil {
			err = next()
		}
		return err
	}
	_, reported := parts.Ask[pb.RunReport](ctx, user.Report, &pb.ReportRequest{Run: run})
	_, live := parts.Ask[pb.LiveRun](ctx, user.Live, &pb.LiveRequest{Run: run})
	watch, err := user.Watch(ctx, &pb.WatchRequest{Run: run})
	watched := ended(err, func() error { _, err := watch.Recv(); return err })
	export, err := user.ExportArchived(ctx, &pb.ExportArchivedRequest{Run: run})
	exported := ended(err, func() error { _, err := export.Recv(); return err })
	_, explained := user.ExplainGuards(ctx, &pb.ExplainGuardsRequest{Run: run})
	return map[string]error{"report": reported, "live": live, "watch": watched, "export": exported, "explain": explained}
}

// listsAsGone looks for a run's line among runs and archived ones.
func (r *region) listsAsGone(run string) {
	r.t.Helper()
	user, ctx := r.user(r.follower()), within(r.t, enough)
	runs, err := user.ListRuns(ctx, &pb.ListRunsRequest{PageSize: 1})
	if err != nil {
		r.t.Fatal(err)
	}
	line := runs.GetRuns()[0]
	if line.GetId() != run || line.GetPlace() != pb.RunPlace_RUN_PLACE_GONE || line.GetVerdict() != pb.Verdict_VERDICT_HALTED || line.GetBy().GetWhy() != "drill" {
		r.t.Errorf("its line is %v", line)
	}
	var last []*pb.ServerArchive
	r.wait("all servers to say what they lack", func() bool {
		check, err := parts.Ask[pb.ArchiveCheck](ctx, user.VerifyArchive, &pb.VerifyArchiveRequest{})
		if err != nil {
			r.t.Fatal(err)
		}
		last = check.GetServers()
		return !slices.ContainsFunc(last, func(s *pb.ServerArchive) bool {
			f := s.GetFaults()
			return len(f) != 1 || f[0].GetRun() != run || !strings.Contains(f[0].GetText(), "no server has it any more")
		})
	})
	if len(last) != 3 {
		r.t.Errorf("verified are %v", last)
	}
}
