package report_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
	"squall/server/report"
	"squall/server/state"
)

// mostMessage is what no message to a person exceeds, in bytes.
const mostMessage = 1 << 20

// crowded is a state with a thousand of whatever there are three: hosts with
// residue of as many steps as are kept, each in a zone of its own, runs on all
// of them, and as many acts as are kept.
func crowded(t *testing.T) *state.Machine {
	t.Helper()
	s := &pb.State{
		Index: 1 << 20, Epoch: 1, Rules: state.Rules, LastUnixNanos: t0,
		Hosts: map[string]*pb.Registered{}, Runs: map[string]*pb.Run{},
	}
	const thousand, acts = 1000, 10_000
	for i := range thousand {
		h := &pb.Registered{Host: &pb.Host{Name: fmt.Sprintf("web-%04d", i), Zone: fmt.Sprintf("zone-%04d", i), Undeclared: many(60, 100)}, Server: "s1"}
		if i%100 == 0 {
			for n := range 256 {
				h.Open = append(h.Open, &pb.OpenStep{Run: "old", Step: fmt.Sprint(n), Residue: many(128, 512)})
			}
		}
		s.Hosts[h.GetHost().GetName()] = h
		s.Runs[fmt.Sprint("run-", i)] = &pb.Run{Id: fmt.Sprint("run-", i), AdmittedIndex: uint64(i + 1), By: &pb.Principal{Name: "kim", Why: many(1, 3000)[0]}}
	}
	for i := range acts {
		s.Audit = append(s.Audit, &pb.AuditRecord{Index: uint64(i + 1), Act: "run", Result: many(1, 200)[0], By: &pb.Principal{Name: "kim"}})
	}
	m := state.New()
	if err := m.Restore(s); err != nil {
		t.Fatal(err)
	}
	return m
}

// many are lines of so many bytes.
func many(lines, bytes int) []string {
	out := make([]string, lines)
	for i := range out {
		out[i] = strings.Repeat("x", bytes)
	}
	return out
}

// pages asks for all pages of a list, and gives the names of its entries; no
// page may be too large.
func pages[R interface {
	proto.Message
	GetNextPageToken() string
}](t *testing.T, ask func(token string) (R, error), names func(R) []string) []string {
	t.Helper()
	var all []string
	for token, first := "", true; first || token != ""; first = false {
		res, err := ask(token)
		if err != nil {
			t.Fatal(err)
		}
		if n := proto.Size(res); n > mostMessage {
			t.Errorf("a page of %d bytes", n)
		}
		all, token = append(all, names(res)...), res.GetNextPageToken()
	}
	return all
}

// TestPagesOfACrowdedRegionAreSmallAndEverythingOnce holds both for every list
// that there is.
func TestPagesOfACrowdedRegionAreSmallAndEverythingOnce(t *testing.T) {
	v := crowded(t).View()
	for list, got := range map[string][]string{
		"hosts": pages(t, func(token string) (*pb.ListHostsResponse, error) {
			return report.ListHosts(v, &pb.ListHostsRequest{PageToken: token})
		}, func(r *pb.ListHostsResponse) []string {
			return named(r.GetHosts(), func(h *pb.Registered) string { return h.GetHost().GetName() })
		}),
		"zones": pages(t, func(token string) (*pb.ListZonesResponse, error) {
			return report.ListZones(v, &pb.ListZonesRequest{PageToken: token})
		}, func(r *pb.ListZonesResponse) []string { return named(r.GetZones(), (*pb.Zone).GetName) }),
		"runs": pages(t, func(token string) (*pb.ListRunsResponse, error) {
			return report.ListRuns(v, &pb.ListRunsRequest{PageToken: token})
		}, func(r *pb.ListRunsResponse) []string { return named(r.GetRuns(), (*pb.RunSummary).GetId) }),
		"audit": pages(t, func(token string) (*pb.ListAuditRecordsResponse, error) {
			return report.ListAuditRecords(v, &pb.ListAuditRecordsRequest{PageToken: token})
		}, func(r *pb.ListAuditRecordsResponse) []string {
			return named(r.GetAudit(), func(a *pb.AuditRecord) string { return fmt.Sprint(a.GetIndex()) })
		}),
	} {
		want := map[string]int{"audit": 10_000}[list]
		if want == 0 {
			want = 1000
		}
		slices.Sort(got)
		if once := len(slices.Compact(slices.Clone(got))); len(got) != want || once != want {
			t.Errorf("%s: %d entries, %d different ones, want %d", list, len(got), once, want)
		}
	}
}

func named[T any](entries []T, name func(T) string) []string {
	var all []string
	for _, e := range entries {
		all = append(all, name(e))
	}
	return all
}

// TestListsGoOnWhereHostsComeAndGo lists hosts while one is forgotten and one is
// new, on each side of where the pages have come.
func TestListsGoOnWhereHostsComeAndGo(t *testing.T) {
	b := &book{t: t, m: state.New(), now: t0}
	for _, name := range []string{"b", "d", "f", "h"} {
		b.host(name, "s1", 1)
	}
	first, err := report.ListHosts(b.m.View(), &pb.ListHostsRequest{PageSize: 2})
	if err != nil || len(first.GetHosts()) != 2 {
		t.Fatalf("first page: %v, %v", first, err)
	}
	for _, gone := range []string{"d", "f"} { // the last that was told, and the next
		b.host(gone, "", 1)
		b.apply(&pb.Command{Kind: &pb.Command_ForgetHost{ForgetHost: &pb.ForgetHost{Host: gone}}})
	}
	b.host("a", "s1", 1)
	b.host("g", "s1", 1)
	rest, err := report.ListHosts(b.m.View(), &pb.ListHostsRequest{PageToken: first.GetNextPageToken()})
	names := named(rest.GetHosts(), func(h *pb.Registered) string { return h.GetHost().GetName() })
	if err != nil || !slices.Equal(names, []string{"g", "h"}) || rest.GetNextPageToken() != "" {
		t.Errorf("the rest is %v, %v", names, err)
	}
}

// TestMuchResidueIsCutAndSaysSo and what is little is told as it is.
func TestMuchResidueIsCutAndSaysSo(t *testing.T) {
	v := crowded(t).View()
	h := report.Host(v.Host("web-0000"))
	if len(h.GetOpen()) != 256 || !strings.HasPrefix(h.GetOpen()[9].GetResidue()[1], "and 127 more") {
		t.Errorf("%d open steps, with %.80q", len(h.GetOpen()), h.GetOpen()[9].GetResidue()[1])
	}
	if plain := v.Host("web-0001"); report.Host(plain) != plain {
		t.Error("a plain host is told otherwise")
	}
}

// Runs that only archives have are listed among the others, by age, and where
// nobody has them any more that is told.
func TestArchivedRunsAreListed(t *testing.T) {
	m := state.New()
	line := func(id string, index uint64, residue uint32) *pb.RunSummary {
		return &pb.RunSummary{Id: id, AdmittedIndex: index, Verdict: pb.Verdict_VERDICT_PASS, Residue: residue}
	}
	err := m.Restore(&pb.State{
		Rules: state.Rules,
		Hosts: map[string]*pb.Registered{"h": {Host: &pb.Host{Name: "h"}, Open: []*pb.OpenStep{{Run: "b", Step: "x"}, {Run: "b", Step: "y"}}}},
		Runs:  map[string]*pb.Run{"c": {Id: "c", AdmittedIndex: 3}, "d": {Id: "d", AdmittedIndex: 4}},
		Archived: map[string]*pb.Archived{
			"a": {Summary: line("a", 1, 3), Released: true},
			"b": {Summary: line("b", 2, 1), Released: true, Servers: []string{"s1"}},
			"c": {Summary: line("c", 3, 0), Servers: []string{"s1"}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range report.Runs(m.View()) {
		got = append(got, fmt.Sprint(s.GetId(), " ", text.Word(s.GetPlace()), " ", s.GetResidue()))
	}
	want := []string{"a gone 0", "b archive 1", "c archive 0", "d unspecified 0"}
	if !slices.Equal(got, want) {
		t.Errorf("the list is %q, want %q", got, want)
	}
}

// manyRuns is a state with runs of two experiments in two zones, half of which
// only archives have.
func manyRuns(t *testing.T) *state.Machine {
	t.Helper()
	s := &pb.State{Rules: state.Rules, Index: 100, Runs: map[string]*pb.Run{}, Archived: map[string]*pb.Archived{}}
	for i := range 10 {
		id, zone, verdict := fmt.Sprintf("r%d", i), fmt.Sprintf("zone-%d", i%2), pb.Verdict_VERDICT_PASS
		if i%3 == 0 {
			verdict = pb.Verdict_VERDICT_FAIL
		}
		name := []string{"dark", "slow"}[i%2]
		slot := &pb.SlotRef{Schedule: "weekly", Slot: fmt.Sprint("2026-12-0", i)}
		if i < 5 {
			s.Archived[id] = &pb.Archived{Released: true, Servers: []string{"s1"}, Summary: &pb.RunSummary{
				Id: id, AdmittedIndex: uint64(i + 1), AdmittedUnixNanos: int64(i) * 1e9, Experiment: name, Verdict: verdict, Zones: []string{zone}, Slot: slot,
				Figures: &pb.RunFigures{}, State: pb.RunState_RUN_STATE_DONE,
			}}
			continue
		}
		s.Runs[id] = &pb.Run{
			Id: id, AdmittedIndex: uint64(i + 1), State: pb.RunState_RUN_STATE_DONE, Verdict: verdict, Slot: slot,
			EnteredUnixNanos: map[uint32]int64{uint32(pb.RunState_RUN_STATE_GATING): int64(i) * 1e9},
			Plan:             &pb.Plan{Experiment: name, Hosts: []*pb.PlannedHost{{Name: "h", Zone: zone, Hit: true}, {Name: "other", Zone: "zone-9"}}},
		}
	}
	m := state.New()
	if err := m.Restore(s); err != nil {
		t.Fatal(err)
	}
	return m
}

// Filters are the server's, over runs of the state and of archives alike.
func TestRunsAreFiltered(t *testing.T) {
	v := manyRuns(t).View()
	for _, c := range []struct {
		req  *pb.ListRunsRequest
		want string
	}{
		{&pb.ListRunsRequest{}, "r0 r1 r2 r3 r4 r5 r6 r7 r8 r9"},
		{&pb.ListRunsRequest{NewestFirst: true}, "r9 r8 r7 r6 r5 r4 r3 r2 r1 r0"},
		{&pb.ListRunsRequest{Experiment: "slow"}, "r1 r3 r5 r7 r9"},
		{&pb.ListRunsRequest{Zone: "zone-0", NewestFirst: true}, "r8 r6 r4 r2 r0"},
		{&pb.ListRunsRequest{Verdicts: []pb.Verdict{pb.Verdict_VERDICT_FAIL, pb.Verdict_VERDICT_HALTED}}, "r0 r3 r6 r9"},
		{&pb.ListRunsRequest{SinceUnixNanos: 4e9}, "r4 r5 r6 r7 r8 r9"},
		{&pb.ListRunsRequest{Schedule: "weekly", Experiment: "dark", SinceUnixNanos: 3e9}, "r4 r6 r8"},
	} {
		c.req.PageSize = 2
		got := pages(t, func(token string) (*pb.ListRunsResponse, error) {
			c.req.PageToken = token
			return report.ListRuns(v, c.req)
		}, func(r *pb.ListRunsResponse) []string {
			for _, s := range r.GetRuns() {
				if s.GetFigures() != nil {
					t.Error("a list has figures")
				}
			}
			return named(r.GetRuns(), (*pb.RunSummary).GetId)
		})
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v: %q, want %q", c.req, got, c.want)
		}
	}
	for what, req := range map[string]*pb.ListRunsRequest{
		`there is no zone "zone-9": did you mean "zone-0" or "zone-1"?`: {Zone: "zone-9"}, // nothing was done to it
		`there is no experiment "drak": did you mean "dark"?`:           {Experiment: "drak"},
		`there is no schedule "daily": write one of: weekly`:            {Schedule: "daily"},
	} {
		_, err := report.ListRuns(v, req)
		if u, ok := errors.AsType[*report.Unknown](err); !ok || u.Error()+": "+u.Fix != what {
			t.Errorf("%v: %v, want %s", req, err, what)
		}
	}
}

// Pages that go back in time stay right while runs are let in, and a token of
// one question is none of another.
func TestPagesOfRunsGoOnWhileRunsBegin(t *testing.T) {
	m := manyRuns(t)
	req := &pb.ListRunsRequest{PageSize: 3, NewestFirst: true}
	first, err := report.ListRuns(m.View(), req)
	if err != nil {
		t.Fatal(err)
	}
	later := m.Snapshot()
	later.Runs["r-new"] = &pb.Run{Id: "r-new", AdmittedIndex: 77, Plan: &pb.Plan{Experiment: "dark"}}
	if err := m.Restore(later); err != nil {
		t.Fatal(err)
	}
	req.PageToken = first.GetNextPageToken()
	next, err := report.ListRuns(m.View(), req)
	if got := named(next.GetRuns(), (*pb.RunSummary).GetId); err != nil || !slices.Equal(got, []string{"r6", "r5", "r4"}) {
		t.Errorf("the next page is %v, %v", got, err)
	}
	if first, err = report.ListRuns(m.View(), &pb.ListRunsRequest{NewestFirst: true, PageSize: 1}); err != nil || first.GetRuns()[0].GetId() != "r-new" {
		t.Errorf("the first page is %v, %v", first, err)
	}
	for _, other := range []*pb.ListRunsRequest{
		{}, {NewestFirst: true, Experiment: "dark"}, {NewestFirst: true, Verdicts: []pb.Verdict{1}}, {NewestFirst: true, Zone: "zone-1"},
	} {
		other.PageToken = req.GetPageToken()
		if _, err := report.ListRuns(m.View(), other); err == nil {
			t.Errorf("%v takes the token of another question", other)
		}
	}
	since := &pb.ListRunsRequest{NewestFirst: true, PageToken: req.GetPageToken(), SinceUnixNanos: 6e9}
	if got, err := report.ListRuns(m.View(), since); err != nil || len(got.GetRuns()) != 1 {
		t.Errorf("since a later instant it goes on with %v, %v", got, err)
	}
}

// A list of 10,000 runs is asked for by a person who waits.
func BenchmarkListRuns(b *testing.B) {
	s := &pb.State{Rules: state.Rules, Archived: map[string]*pb.Archived{}}
	for i := range 10_000 {
		id := fmt.Sprint("r", i)
		s.Archived[id] = &pb.Archived{Released: true, Summary: &pb.RunSummary{Id: id, AdmittedIndex: uint64(i + 1), Experiment: "dark", Zones: []string{"zone-a"}}}
	}
	m := state.New()
	if err := m.Restore(s); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := report.ListRuns(m.View(), &pb.ListRunsRequest{NewestFirst: true, PageSize: 100, Zone: "zone-a"}); err != nil {
			b.Fatal(err)
		}
	}
}
