package report_test

import (
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
