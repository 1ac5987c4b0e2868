package report_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
	"squall/server/report"
	"squall/server/state"
)

const t0 = int64(1_800_000_000e9)

// book applies commands by hand, each a second after the one before.
type book struct {
	t     *testing.T
	m     *state.Machine
	index uint64
	now   int64
}

func (b *book) apply(commands ...*pb.Command) {
	b.t.Helper()
	for _, c := range commands {
		b.index++
		b.now += 1e9
		c.AtUnixNanos = b.now
		if o := b.m.Apply(b.index, c); o.GetRefused() != nil {
			b.t.Fatalf("%v was refused: %v", c, o.GetRefused())
		}
	}
}

func (b *book) host(name, server string, session uint64) {
	b.t.Helper()
	u := &pb.HostUpdate{Name: name, Server: server, Session: session, Host: &pb.Host{Name: name, Zone: "zone-a"}}
	b.apply(&pb.Command{Kind: &pb.Command_UpdateHosts{UpdateHosts: &pb.UpdateHosts{Hosts: []*pb.HostUpdate{u}}}})
}

func (b *book) step(host string, s pb.StepState, residue ...string) {
	b.t.Helper()
	b.apply(&pb.Command{Kind: &pb.Command_RecordSteps{RecordSteps: &pb.RecordSteps{Steps: []*pb.StepStatus{
		{Run: "r", Step: "p.dns.fail", Host: host, State: s, Residue: residue},
	}}}})
}

// begun is a run of ten seconds on four hosts that has fired.
func begun(t *testing.T) *book {
	b := &book{t: t, m: state.New(), now: t0 - 20e9}
	step := &pb.PlannedStep{Id: "p.dns.fail", Fault: &pb.Fault{Kind: &pb.Fault_DnsFail{DnsFail: &pb.DNSFail{}}}, EndNanos: 60e9}
	for _, h := range []string{"a", "b", "c", "d"} {
		b.host(h, "s1", 1)
		step.Slots = append(step.Slots, &pb.HostSlot{Host: h, EndNanos: 60e9, DeadlineNanos: 70e9})
	}
	b.apply(
		&pb.Command{Kind: &pb.Command_AdmitRun{AdmitRun: &pb.AdmitRun{
			Run: "r", Experiment: &pb.Experiment{Version: 1, Name: "test"},
			Plan: &pb.Plan{Experiment: "test", Steps: []*pb.PlannedStep{step}, LengthNanos: 60e9, DeadlineNanos: 70e9, LeaseNanos: 10e9},
		}}},
		&pb.Command{Kind: &pb.Command_Fire{Fire: &pb.Fire{Run: "r", T0UnixNanos: t0}}},
	)
	return b
}

func finish(b *book) {
	b.apply(
		&pb.Command{Kind: &pb.Command_EndRun{EndRun: &pb.EndRun{Run: "r", Cause: pb.EndCause_END_CAUSE_UNDO}}},
		&pb.Command{Kind: &pb.Command_Finish{Finish: &pb.Finish{Run: "r", Verdict: pb.Verdict_VERDICT_ABORTED}}},
	)
}

// says is how status, the list of runs and the report tell of the run's hosts:
// the standing of each step, what is left, and its number in each of the three.
func says(b *book) string {
	v := b.m.View()
	status, rep := report.Status(v), report.Run(v, "r")
	var words []string
	for _, host := range []string{"a", "b", "c", "d"} {
		word := text.Word(rep.GetSteps()[0].GetStanding()[host])
		words = append(words, word)
	}
	summary := status.GetRuns()[0]
	return fmt.Sprintf("%s; left %s, %s, %d; held %d", strings.Join(words, " "),
		names(status.GetResidue()), names(rep.GetResidue()), summary.GetResidue(), summary.GetHeld())
}

func names(list []*pb.HostClean) string {
	var all []string
	for _, c := range list {
		all = append(all, c.GetHost())
	}
	return "[" + strings.Join(all, " ") + "]"
}

func TestOneWordAndOneNumberEverywhere(t *testing.T) {
	held, reverted := pb.StepState_STEP_STATE_HELD, pb.StepState_STEP_STATE_REVERTED
	for _, c := range []struct {
		name, want string
		do         func(*book)
	}{
		{"while it is held", "held held held untouched; left [], [], 0; held 3", func(*book) {}},
		{"a host is lost", "held unknown held untouched; left [b], [b], 1; held 2", func(b *book) { b.host("b", "", 1) }},
		{"a host reverts", "held reverted held untouched; left [], [], 0; held 2", func(b *book) { b.step("b", reverted) }},
		{"a host reverts with residue", "held residue held untouched; left [b], [b], 1; held 2", func(b *book) { b.step("b", reverted, "a link") }},
		{"residue goes away", "held reverted held untouched; left [], [], 0; held 2", func(b *book) {
			b.step("b", reverted, "a link")
			b.step("b", reverted)
		}},
		{"nobody is heard from until the deadline", "unknown unknown unknown unknown; left [a b c d], [a b c d], 4; held 0", func(b *book) {
			b.now = t0 + 71e9
			b.host("a", "s1", 1)
		}},
		{"it is done, one not heard from", "reverted reverted reverted unknown; left [d], [d], 1; held 0", func(b *book) {
			for _, h := range []string{"a", "b", "c"} {
				b.step(h, reverted)
			}
			finish(b)
		}},
		{"that one comes back clean", "reverted reverted reverted reverted; left [], [], 0; held 0", func(b *book) {
			for _, h := range []string{"a", "b", "c"} {
				b.step(h, reverted)
			}
			finish(b)
			b.step("d", reverted)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := begun(t)
			for _, h := range []string{"a", "b", "c"} {
				b.step(h, held)
			}
			c.do(b)
			if got := says(b); got != c.want {
				t.Errorf("says %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestWhatIsHeldIsToldApartFromWhatIsUnknown(t *testing.T) {
	b := begun(t)
	b.step("a", pb.StepState_STEP_STATE_HELD)
	b.step("b", pb.StepState_STEP_STATE_HELD)
	b.host("b", "", 1)
	active := report.Status(b.m.View()).GetActive()
	if len(active) != 2 || active[0].GetStanding() != pb.Standing_STANDING_HELD || active[1].GetStanding() != pb.Standing_STANDING_UNKNOWN {
		t.Errorf("tells %v", active)
	}
}

// TestHostsThatArmLateAreNamed: they are no measure of how far apart the others began.
func TestHostsThatArmLateAreNamed(t *testing.T) {
	b := begun(t)
	for host, left := range map[string]int64{"a": 60e6, "b": 50e6, "c": 49e6, "d": -5e6} {
		b.apply(&pb.Command{Kind: &pb.Command_RecordSteps{RecordSteps: &pb.RecordSteps{Steps: []*pb.StepStatus{{
			Run: "r", Step: "p.dns.fail", Host: host, State: pb.StepState_STEP_STATE_HELD,
			Journal: []*pb.JournalMark{
				{State: pb.StepState_STEP_STATE_ARMED, PlannedUnixNanos: t0, ActualUnixNanos: t0 - left},
				{State: pb.StepState_STEP_STATE_HELD, PlannedUnixNanos: t0, ActualUnixNanos: max(t0, t0-left) + 1e6},
			},
		}}}}})
	}
	step := report.Run(b.m.View(), "r").GetSteps()[0]
	want := []*pb.LateArming{{Host: "c", AheadNanos: 49e6}, {Host: "d", AheadNanos: -5e6}}
	if d := cmp.Diff(want, step.GetArmedLate(), protocmp.Transform()); d != "" {
		t.Error(d)
	}
	if n, worst := step.GetSkew().GetCount(), step.GetSkew().GetMax(); n != 2 || worst != 1e6 {
		t.Errorf("the skew is of %d hosts and at most %d, want the two that armed in time, 1000000", n, worst)
	}
}
