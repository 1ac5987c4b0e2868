package show_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"squall/cli/show"
	pb "squall/proto/squall/v1"
)

// dark is a zone's loss, five seconds after T0.
func dark() *pb.LiveRun {
	t0 := time.Date(2026, 3, 1, 14, 32, 0, 0, time.Local)
	at := func(s int) int64 { return t0.Add(time.Duration(s) * time.Second).UnixNano() }
	r := &pb.LiveRun{
		Run: &pb.RunSummary{
			Id: "zone-loss-1", Experiment: "zone-loss", State: pb.RunState_RUN_STATE_HOLDING,
			By: &pb.Principal{Name: "ana", Why: "Q4 game day"}, T0UnixNanos: at(0), EndsUnixNanos: at(90),
		},
		NowUnixNanos: at(5), IncidentUnixNanos: time.Date(2012, 6, 30, 3, 4, 0, 0, time.UTC).UnixNano(),
		Phase: "dark", Say: "The zone loses its power, and the shop goes on from two.", PhaseEndsUnixNanos: at(47),
		Faults: []*pb.LiveFault{
			{Step: "dark.power.off", Fault: "power.off", Held: 3, Hosts: 3, StartUnixNanos: at(0), EndUnixNanos: at(47)},
			{Step: "return.net.delay", Fault: "net.delay", Hosts: 2, StartUnixNanos: at(47), EndUnixNanos: at(60)},
		},
		Probes: []*pb.LiveProbe{
			{Name: "checkout", Success: proto.Float64(0.31), P95Millis: proto.Float64(212), AgeNanos: 1.2e9, History: []float64{1, 1, 1, 0.98, 0.6, 0.31}},
			{Name: "street", AgeNanos: 9e9, History: []float64{1, 1, -1, -1, -1, -1}},
		},
		Rules: []*pb.LiveRule{
			{Kind: pb.FindingKind_FINDING_KIND_EXPECT, Name: "shoppers are served", Seen: "checkout.success 0.31, limit >= 0.95", State: pb.FindingState_FINDING_STATE_BROKEN},
			{Kind: pb.FindingKind_FINDING_KIND_PROOF, Name: "the zone is dark", Seen: "machines.alive 0, limit == 0", State: pb.FindingState_FINDING_STATE_HOLDS},
			{Kind: pb.FindingKind_FINDING_KIND_ABORT, Name: "users are really hurt", Seen: "checkout.success 0.31, limit < 0.5", State: pb.FindingState_FINDING_STATE_HOLDS, TrueNanos: 3e9, ForNanos: 10e9},
			{Kind: pb.FindingKind_FINDING_KIND_ABORT, Name: "we are blind", Seen: "street.age 9, limit > 15", State: pb.FindingState_FINDING_STATE_BROKEN, ForNanos: 1e9},
		},
	}
	for i, zone := range []string{"zone-a", "zone-b", "zone-c"} {
		for _, name := range []string{"server", "web", "db"} {
			c := pb.HostCondition_HOST_CONDITION_LIT
			if i == 0 {
				c = pb.HostCondition_HOST_CONDITION_HIT
			}
			r.Hosts = append(r.Hosts, &pb.LiveHost{Name: name + "-" + zone[5:] + "1", Zone: zone, Condition: c})
		}
	}
	r.Hosts[4].Condition, r.Hosts[8].Condition = pb.HostCondition_HOST_CONDITION_DEGRADED, pb.HostCondition_HOST_CONDITION_LOST
	return r
}

// TestLiveFitsEveryTerminal holds the picture of a run at the usual widths, and
// that what one must not miss stands in each.
func TestLiveFitsEveryTerminal(t *testing.T) {
	for _, columns := range []int{40, 60, 80, 160} {
		t.Run(fmt.Sprint(columns), func(t *testing.T) {
			got := show.Live(dark(), show.Options{Width: columns})
			for line := range strings.Lines(got) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columns {
					t.Errorf("a line of %d columns: %q", n, line)
				}
			}
			for _, must := range []string{"ends in 42s", "31.0%", "no data", "true for 3s of 10s", "T+5s of 1m30s", "3 dark", "RESIDUE"} {
				if !strings.Contains(got, must) {
					t.Errorf("it does not say %q", must)
				}
			}
			if value := "checkout.success 0.31, limit < 0.5"; columns >= 60 && !strings.Contains(got, value) {
				t.Errorf("it does not show the value %q", value)
			}
			golden(t, filepath.Join("testdata", fmt.Sprintf("live-%d.txt", columns)), got)
		})
	}
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// TestColourSaysNothingAlone holds that a picture without its colours is the
// same picture.
func TestColourSaysNothingAlone(t *testing.T) {
	painted := show.Live(dark(), show.Options{Width: 80, Color: true})
	if !strings.Contains(painted, "\x1b[31m") {
		t.Error("nothing is red")
	}
	if bare := escapes.ReplaceAllString(painted, ""); bare != show.Live(dark(), show.Options{Width: 80}) {
		t.Errorf("without its colours it is another picture:\n%s", bare)
	}
}

// TestLiveOfManyHosts shows signs alone where names would fill the screen.
func TestLiveOfManyHosts(t *testing.T) {
	r := dark()
	for i := range 100 {
		r.Hosts = append(r.Hosts, &pb.LiveHost{Name: fmt.Sprintf("node-%03d", i), Zone: "zone-b", Condition: pb.HostCondition_HOST_CONDITION_LIT})
	}
	got := show.Live(r, show.Options{Width: 80})
	if strings.Contains(got, "node-042") || !strings.Contains(got, "102 lit") {
		t.Errorf("drawn as\n%s", got)
	}
}

// TestTextOfOthersIsHarmless: names and reasons come from people and machines.
func TestTextOfOthersIsHarmless(t *testing.T) {
	r := dark()
	r.Run.By.Why = "\x1b]0;owned\x07\nand a second line"
	r.Hosts[0].Name = "a\x1b[2Jb"
	r.Rules[0].Seen = "\u202egnp.exe"
	got := show.Live(r, show.Options{Width: 160})
	if strings.ContainsAny(got, "\x1b\x07\u202e") {
		t.Errorf("drawn as %q", got)
	}
	if lines, want := strings.Count(got, "\n"), strings.Count(show.Live(dark(), show.Options{Width: 160}), "\n"); lines != want {
		t.Errorf("a reason of two lines makes %d lines of %d", lines, want)
	}
}

// TestFaultOfARunThatHasNotFiredIsNotOver: while the gate is tried nothing has
// begun, so nothing has ended.
func TestFaultOfARunThatHasNotFiredIsNotOver(t *testing.T) {
	r := dark()
	r.Run.T0UnixNanos, r.Run.EndsUnixNanos = 0, 0
	for _, f := range r.Faults {
		f.StartUnixNanos, f.EndUnixNanos, f.Held = 0, 0, 0
	}
	for state, want := range map[pb.RunState]string{pb.RunState_RUN_STATE_GATING: "not begun", pb.RunState_RUN_STATE_DONE: "never began"} {
		r.Run.State = state
		got := show.Live(r, show.Options{Width: 160})
		if strings.Count(got, want) != 2 || !strings.Contains(got, "on 3 hosts") || strings.Contains(got, "held by") || strings.Contains(got, "ended") {
			t.Errorf("%v is drawn as\n%s", state, got)
		}
	}
}
