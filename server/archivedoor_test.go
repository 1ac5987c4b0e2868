package server

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"squall/proto/parts"
	pb "squall/proto/squall/v1"
	"squall/server/archive"
	"squall/server/report"
)

// archives lets a region's servers archive a run.
func (r *region) archives(id string) {
	r.t.Helper()
	r.finishes(id)
	r.wait("three archives", func() bool { return len(r.leader().State().Archived(id).GetServers()) == 3 })
}

// finishes has a run that is let in, ended and sealed by commands; its hosts are
// nobody's.
func (r *region) finishes(id string) {
	r.t.Helper()
	alone := &pb.Experiment{Version: 1, Name: "dark", Guardrails: &pb.Guardrails{AllowRegionWide: true}}
	lead := r.leader()
	does := func(name string, cmd *pb.Command) {
		r.t.Helper()
		cmd.Id, cmd.By = id+"/"+name, &pb.Principal{Name: "kim", Why: "drill"}
		outcome, err := lead.Propose(within(r.t, enough), cmd)
		if err != nil {
			r.t.Fatal(err)
		}
		if refused := outcome.GetRefused(); refused != nil { // the conductor may have ended it already
			r.t.Logf("%s: %v", cmd.Id, refused)
		}
	}
	does("host", &pb.Command{Kind: &pb.Command_UpdateHosts{UpdateHosts: &pb.UpdateHosts{Hosts: []*pb.HostUpdate{{
		Host: &pb.Host{Name: "web", Zone: "zone-a"}, Name: "web", Server: "a", Session: 1,
	}}}}})
	does("admit", &pb.Command{Kind: &pb.Command_AdmitRun{AdmitRun: &pb.AdmitRun{Run: id, Experiment: alone, Plan: planOn("web")}}})
	does("end", &pb.Command{Kind: &pb.Command_EndRun{EndRun: &pb.EndRun{Run: id, Cause: pb.EndCause_END_CAUSE_UNDO}}})
	does("finish", &pb.Command{Kind: &pb.Command_Finish{Finish: &pb.Finish{Run: id, Verdict: pb.Verdict_VERDICT_HALTED}}})
	view := lead.State()
	does("seal", &pb.Command{Kind: &pb.Command_SealRuns{SealRuns: &pb.SealRuns{Runs: []*pb.RunSummary{report.Summary(view, view.Run(id))}}}})
}

func planOn(host string) *pb.Plan {
	return &pb.Plan{
		Experiment: "dark", LeaseNanos: 1e10, LengthNanos: 1e9, DeadlineNanos: 2e9,
		Steps: []*pb.PlannedStep{{Id: "p.dns.fail", Fault: &pb.Fault{Kind: &pb.Fault_DnsFail{DnsFail: &pb.DNSFail{}}}, EndNanos: 1e9, Slots: []*pb.HostSlot{{Host: host, EndNanos: 1e9, DeadlineNanos: 2e9}}}},
	}
}

// Verify reads every server's archive and names what is wrong; export gives a run
// from any server; prune takes the oldest from all, on record.
func TestArchiveIsVerifiedExportedAndPruned(t *testing.T) {
	r := newRegion(t)
	r.archives("dark-1")
	lead, user := r.leader(), r.user(r.follower())
	check := func() (faults []string) {
		t.Helper()
		all, err := parts.Ask[pb.ArchiveCheck](within(t, enough), user.VerifyArchive, &pb.VerifyArchiveRequest{})
		if err != nil || len(all.GetServers()) != 3 {
			t.Fatalf("verified %v, %v", all, err)
		}
		for _, s := range all.GetServers() {
			for _, f := range s.GetFaults() {
				faults = append(faults, s.GetServer()+" "+f.GetFile()+f.GetRun()+" "+f.GetText())
			}
			if s.GetError() != "" {
				faults = append(faults, s.GetError())
			}
		}
		return faults
	}
	if faults := check(); len(faults) != 0 {
		t.Errorf("whole archives have %q", faults)
	}
	var lines bytes.Buffer
	if err := export(user, "dark-1", &lines); err != nil || strings.Count(lines.String(), "\n") < 3 || !strings.Contains(lines.String(), `{"run":`) {
		t.Errorf("exported %q, %v", lines.String(), err)
	}
	e, _ := r.servers[2].keeper.archive.Entry("dark-1")
	if err := os.WriteFile(filepath.Join(r.servers[2].cfg.Dir, "archive", e.File), []byte("rot"), 0o600); err != nil {
		t.Fatal(err)
	}
	if faults := check(); len(faults) != 1 || !strings.Contains(faults[0], "c "+e.File) {
		t.Errorf("with a damaged file on c: %q", faults)
	}

	for _, dry := range []bool{true, false} {
		resp, err := user.PruneArchive(within(t, enough), &pb.PruneArchiveRequest{AgeNanos: 1, DryRun: dry, Why: "spring"})
		if err != nil || resp.GetRuns() != 1 || dry == (resp.GetIndex() != 0) {
			t.Fatalf("pruned %v, %v", resp, err)
		}
	}
	r.wait("empty archives", func() bool {
		for _, u := range r.servers {
			if len(u.keeper.archive.Entries()) > 0 {
				return false
			}
		}
		return len(lead.State().Archived("dark-1").GetServers()) == 0
	})
	audit := lead.State().Audit()
	if last := audit[len(audit)-1]; last.GetAct() != "prune archive" || last.GetBy().GetName() != "kim" || last.GetBy().GetWhy() != "spring" {
		t.Errorf("on record is %v", last)
	}
}

// A run of another server's archive is exported through this one, to the byte, and
// not kept here; where nobody gives it whole, that is what is told.
func TestExportKeepsNothing(t *testing.T) {
	r := newRegion(t)
	a, b := r.servers[0].keeper, r.servers[1].keeper
	e, err := b.archive.Put(finishedRun("dark-1"))
	if err != nil {
		t.Fatal(err)
	}
	var own, through bytes.Buffer
	err = errors.Join(b.export(within(t, enough), letGo(t, e, "b"), "dark-1", &own), a.export(within(t, enough), letGo(t, e, "c", "b"), "dark-1", &through))
	if err != nil || strings.Count(own.String(), "\n") != 3003 || !bytes.Equal(own.Bytes(), through.Bytes()) {
		t.Errorf("%d lines, and %d through another server, %v", strings.Count(own.String(), "\n"), strings.Count(through.String(), "\n"), err)
	}
	if kept := a.archive.Entries(); len(kept) != 0 {
		t.Errorf("it is kept: %v", kept)
	}
	path := filepath.Join(r.servers[1].cfg.Dir, "archive", e.File)
	data, _ := os.ReadFile(path)
	data[len(data)/2] ^= 1 // in a window
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	err = a.export(within(t, enough), letGo(t, e, "b", "c"), "dark-1", io.Discard)
	if problemOf(err).GetRefusal() != pb.Refusal_REFUSAL_UNKNOWN || !strings.Contains(err.Error(), "from server b") || strings.Contains(err.Error(), "from server c") {
		t.Errorf("damaged on the way: %v", err)
	}
}

// heldContext is asked whether it has ended, and does not answer yet.
type heldContext struct {
	context.Context
	answer chan struct{}
}

func (c heldContext) Err() error {
	<-c.answer
	return c.Context.Err()
}

// However many want an archive verified, it is read once at a time: for all who
// wait, and anew where the one for whom it was read has gone.
func TestArchiveIsVerifiedOnceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{server: &Server{id: "a"}, archive: archive.New(t.TempDir())}
		if _, err := k.archive.Put(finishedRun("dark-1")); err != nil {
			t.Fatal(err)
		}
		for _, leaves := range []bool{false, true} {
			first, leave := context.WithCancel(t.Context())
			answer, found := make(chan struct{}), make(chan *pb.ServerArchive, 3)
			asks := func(ctx context.Context) { found <- k.verifyOnce(ctx) }
			go asks(heldContext{first, answer})
			synctest.Wait() // it reads
			go asks(t.Context())
			go asks(t.Context())
			synctest.Wait()
			if len(found) != 0 {
				t.Error("the archive is read for each who asks")
			}
			if leaves {
				leave()
			}
			close(answer)
			whole := 0
			for range 3 {
				if a := <-found; a.GetError() == "" && a.GetRuns() == 1 {
					whole++
				}
			}
			if want := map[bool]int{false: 3, true: 2}[leaves]; whole != want {
				t.Errorf("it is verified for %d, want %d", whole, want)
			}
			leave()
		}
	})
}

func export(user pb.ControlServiceClient, run string, to io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), enough)
	defer cancel()
	stream, err := user.ExportArchived(ctx, &pb.ExportArchivedRequest{Run: run})
	for err == nil {
		var part *pb.ExportArchivedResponse
		if part, err = stream.Recv(); err == nil {
			_, err = to.Write(part.GetPart())
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// TestVerifyNamesFilesThatCantBeRead, and those that vanish under it: neither is whole.
func TestVerifyNamesFilesThatCantBeRead(t *testing.T) {
	dir := t.TempDir()
	k := &keeper{server: &Server{id: "a"}, archive: archive.New(dir), log: slog.New(slog.DiscardHandler)}
	for _, id := range []string{"dark-1", "dark-2", "dark-3", "dark-4"} {
		rec := finishedRun(id)
		rec.Windows = func(func(*pb.Window) bool) {}
		if _, err := k.archive.Put(rec); err != nil {
			t.Fatal(err)
		}
	}
	all := k.archive.Entries()
	slices.SortFunc(all, func(a, b archive.Entry) int { return strings.Compare(a.Run(), b.Run()) })
	path := filepath.Join(dir, all[0].File)
	loop := strings.Repeat("/", max(0, int(all[0].Bytes)-len(path))) + path // as long as the file was
	if err := cmp.Or(os.Remove(path), os.Symlink(loop, path), os.Remove(filepath.Join(dir, all[1].File))); err != nil {
		t.Fatal(err)
	}
	if err := k.archive.Remove("dark-4"); err != nil { // as its limits do
		t.Fatal(err)
	}
	out := &pb.ServerArchive{}
	for _, e := range all {
		k.verifyRun(e, out)
	}
	if f := out.GetFaults(); out.GetRuns() != 1 || len(f) != 2 || f[0].GetRun() != "dark-1" || f[0].GetFile() != all[0].File || !strings.Contains(f[0].GetText(), "too many levels") ||
		f[1].GetRun() != "dark-2" || f[1].GetFile() != all[1].File || !strings.Contains(f[1].GetText(), "not in this archive any more") {
		t.Errorf("verified as %v", out)
	}
	if again := k.verify(t.Context()); again.GetRuns() != 1 || len(again.GetFaults()) != 1 || again.GetFaults()[0].GetFile() != all[0].File {
		t.Errorf("verified again as %v", again)
	}
}
