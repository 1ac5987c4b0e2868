package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

var lost = &pb.Damage{Id: "d1", SinceUnixNanos: 1_800_000_000e9, What: []string{"journal.a: neither header can be read"}}

// TestDamageAndConflictsAreShownWhereverHostsAre holds that nobody has to ask a
// refused run why: each list of hosts says on which nothing is injected, and the
// places with room say since when and what to do.
func TestDamageAndConflictsAreShownWhereverHostsAre(t *testing.T) {
	two := &pb.HostConflict{Instance: "x", Server: "s2"}
	hosts := &pb.ListHostsResponse{Hosts: []*pb.Registered{
		{Host: &pb.Host{Name: "web-a1", Zone: "zone-a", Presence: pb.Presence_PRESENCE_CONNECTED}, Damage: lost},
		{Host: &pb.Host{Name: "web-b1", Zone: "zone-b", Presence: pb.Presence_PRESENCE_CONNECTED}, Conflict: two},
		{Host: &pb.Host{Name: "web-c1", Zone: "zone-c", Presence: pb.Presence_PRESENCE_CONNECTED}, Open: []*pb.OpenStep{{Run: "r"}, {Run: "q", Residue: []string{"x"}}}},
		{Host: &pb.Host{Name: "web-c2", Zone: "zone-c", Presence: pb.Presence_PRESENCE_LOST}, Open: []*pb.OpenStep{{Run: "r"}}, Damage: lost},
	}}
	clean := &pb.UndoResponse{Hosts: []*pb.HostClean{
		{Host: "web-a1", Residue: []string{"a program"}, Standing: pb.Standing_STANDING_RESIDUE},
		{Host: "web-b1", Unknown: true, Standing: pb.Standing_STANDING_UNKNOWN},
		{Host: "web-c1", Standing: pb.Standing_STANDING_HELD},
	}}
	report := &pb.RunReport{Summary: &pb.RunSummary{Id: "r"}, Residue: clean.GetHosts()}
	st := &pb.Status{Barred: []*pb.BarredHost{{Host: "web-a1", Damage: lost}, {Host: "web-b1", Conflict: two}}}
	for where, c := range map[string]struct {
		print func(io.Writer)
		says  []string
	}{
		"get hosts": {func(w io.Writer) { hostsView(hosts).table(w, false) }, []string{
			"connected (journal damaged)", "connected (two machines)", "web-c1\tzone-c\t-\t\t-\tconnected (residue)", "lost (unknown, journal damaged)",
		}},
		"status": {func(w io.Writer) { printStatus(w, st, false) }, []string{
			"BARRED\tweb-a1\t", "since 2027-01-15 08:00:00Z", "neither header can be read", "squall confirm damage web-a1",
			"BARRED\tweb-b1\ttwo machines", "heard by s2",
		}},
		"undo and halt": {told(func(a *app) error { return a.showClean(clean, "ended r", st.GetBarred()) }), []string{
			"web-a1  residue  a program\n", "web-b1  unknown  not heard from: unknown is never reverted", "web-c1  held     its fault has not ended yet",
			"web-a1  barred   its journal is damaged since", "web-b1  barred   two machines have its certificate",
		}},
		"report": {told(func(a *app) error { return a.showReport(report, st.GetBarred()) }), []string{
			"RESIDUE  web-a1  residue  a program ", "         web-b1  unknown  not heard from", "         web-c1  held     its fault has not ended yet",
			"BARRED   web-a1  its journal is damaged", "         web-b1  two machines have its certificate",
		}},
		"the last word": {func(w io.Writer) { fmt.Fprint(w, cleanError(clean, nil)) }, []string{
			"residue on web-a1; still held on web-c1; not heard from web-b1",
		}},
		"describe host": {func(w io.Writer) { printHost(w, hosts.GetHosts()[0]); printHost(w, hosts.GetHosts()[1]) }, []string{
			"journal\tdamaged since 2027-01-15 08:00:00Z: journal.a", "damage id\td1", "conflict\ttwo machines",
		}},
		"status --local": {table(localStatusView(&pb.LocalStatusResponse{Host: "web-a1", Damage: lost})), []string{
			"journal damaged since 2027-01-15 08:00:00Z: journal.a", "squall resume --local",
		}},
		"doctor": {table(localAbilitiesView(&pb.LocalDoctorResponse{Damage: lost})), []string{"journal damaged since"}},
	} {
		var out bytes.Buffer
		c.print(&out)
		for _, want := range c.says {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s lacks %q:\n%s", where, want, out.String())
			}
		}
	}
}

// told is what a command prints.
func told(by func(*app) error) func(io.Writer) {
	return func(w io.Writer) {
		if err := by(&app{stdout: w, settings: &settings{}}); err != nil {
			fmt.Fprint(w, err)
		}
	}
}

// table prints a view as people see it.
func table(v view) func(io.Writer) {
	return func(w io.Writer) { v.table(w, false) }
}

// TestUnrecordedIsShownOnItsHost holds that a person on the host sees what its
// disk lacks, halt or not.
func TestUnrecordedIsShownOnItsHost(t *testing.T) {
	var out bytes.Buffer
	table(localStatusView(&pb.LocalStatusResponse{
		Host: "web-a1", Unrecorded: []string{"dns.fail of r1: reverted", "order 1.7"}, Disk: "sync journal: input/output error",
	}))(&out)
	for _, want := range []string{"not on disk yet: dns.fail of r1: reverted", "not on disk yet: order 1.7", "disk says: sync journal: input/output error"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it lacks %q:\n%s", want, out.String())
		}
	}
}

func TestDamageThatIsConfirmedSaysSo(t *testing.T) {
	seen := proto.CloneOf(lost)
	seen.Confirmed = true
	var out bytes.Buffer
	printStatus(&out, &pb.Status{Barred: []*pb.BarredHost{{Host: "web-a1", Damage: seen}}}, false)
	if got := out.String(); !strings.Contains(got, "confirmed") || strings.Contains(got, "then: squall confirm") {
		t.Errorf("it says:\n%s", got)
	}
}

// TestInjectedOnAHostThatIsNotHeardFromIsUnknown: it may hold the fault or not.
func TestInjectedOnAHostThatIsNotHeardFromIsUnknown(t *testing.T) {
	for standing, says := range map[pb.Standing]bool{pb.Standing_STANDING_HELD: false, pb.Standing_STANDING_UNKNOWN: true} {
		var out bytes.Buffer
		printStatus(&out, &pb.Status{Active: []*pb.ActiveStep{{Run: "r", Fault: "dns.fail", Hosts: []string{"a"}, Standing: standing}}}, false)
		if got := strings.Contains(out.String(), "unknown: not heard from"); got != says {
			t.Errorf("%v:\n%s", standing, out.String())
		}
	}
}
