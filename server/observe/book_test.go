package observe_test

import (
	"fmt"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
	"squall/server/consensus"
	"squall/server/observe"
	"squall/server/state"
)

const t0 = int64(1_800_000_000e9)

// book is a server's state that is written by hand, and what watches it.
type book struct {
	t     *testing.T
	m     *state.Machine
	index uint64
	now   int64
	sight observe.Sight
	*observe.Observer
}

func newBook(t *testing.T) *book {
	b := &book{t: t, m: state.New(), now: t0, sight: observe.Sight{
		Server: "a", Ever: true, Confirmed: time.Second, Lease: 10 * time.Second,
		Consensus: consensus.Standing{State: "leader", Leader: "a", Heard: true, Servers: 3},
		Silent:    map[string]time.Duration{"b": time.Second},
	}}
	b.Observer = observe.New(func() observe.Sight {
		s := b.sight
		s.View, s.Now = b.m.View(), time.Unix(0, b.now)
		return s
	})
	return b
}

func (b *book) apply(commands ...*pb.Command) {
	b.t.Helper()
	for _, c := range commands {
		b.index++
		c.AtUnixNanos, c.By = b.now, &pb.Principal{Name: "kim"}
		if o := b.m.Apply(b.index, c); o.GetRefused() != nil {
			b.t.Fatalf("%v was refused: %v", c, o.GetRefused())
		}
	}
}

func (b *book) host(name, zone, server string) {
	b.t.Helper()
	b.apply(&pb.Command{Kind: &pb.Command_UpdateHosts{UpdateHosts: &pb.UpdateHosts{Hosts: []*pb.HostUpdate{{
		Name: name, Server: server, Session: 1, Host: &pb.Host{Name: name, Zone: zone},
	}}}}})
}

// run begins a run of a minute on a host.
func (b *book) run(id, experiment, host string) {
	b.t.Helper()
	b.apply(
		&pb.Command{Kind: &pb.Command_AdmitRun{AdmitRun: admission(id, experiment, host)}},
		&pb.Command{Kind: &pb.Command_Fire{Fire: &pb.Fire{Run: id, T0UnixNanos: b.now}}},
	)
}

func admission(id, experiment, host string) *pb.AdmitRun {
	return &pb.AdmitRun{
		Run: id, Experiment: &pb.Experiment{Version: 1, Name: experiment},
		Plan: &pb.Plan{
			Experiment: experiment, LengthNanos: 60e9, DeadlineNanos: 70e9, LeaseNanos: 10e9,
			Steps: []*pb.PlannedStep{{
				Id: "p.dns.fail", Fault: &pb.Fault{Kind: &pb.Fault_DnsFail{DnsFail: &pb.DNSFail{}}}, EndNanos: 60e9,
				Slots: []*pb.HostSlot{{Host: host, EndNanos: 60e9, DeadlineNanos: 70e9}},
			}},
		},
	}
}

func (b *book) step(run, host string, s pb.StepState, cause pb.RevertCause, residue ...string) {
	b.t.Helper()
	b.apply(&pb.Command{Kind: &pb.Command_RecordSteps{RecordSteps: &pb.RecordSteps{Steps: []*pb.StepStatus{
		{Run: run, Step: "p.dns.fail", Host: host, State: s, Cause: cause, Residue: residue},
	}}}})
}

// marks has a host tell that a step began and ended so late, when its lease ran out.
func (b *book) marks(run, host string, skew, late time.Duration) {
	b.t.Helper()
	mark := func(seq uint64, s pb.StepState, planned int64, off time.Duration) *pb.JournalMark {
		return &pb.JournalMark{Seq: seq, State: s, PlannedUnixNanos: planned, ActualUnixNanos: planned + int64(off)}
	}
	b.apply(&pb.Command{Kind: &pb.Command_RecordSteps{RecordSteps: &pb.RecordSteps{Steps: []*pb.StepStatus{{
		Run: run, Step: "p.dns.fail", Host: host, State: pb.StepState_STEP_STATE_REVERTED, Cause: pb.RevertCause_REVERT_CAUSE_LEASE,
		Journal: []*pb.JournalMark{
			mark(1, pb.StepState_STEP_STATE_ARMED, b.now, -time.Second),
			mark(2, pb.StepState_STEP_STATE_HELD, b.now, skew),
			mark(3, pb.StepState_STEP_STATE_REVERTED, b.now+60e9, late),
		},
	}}}}})
}

func (b *book) finish(run string, v pb.Verdict) {
	b.t.Helper()
	b.apply(
		&pb.Command{Kind: &pb.Command_EndRun{EndRun: &pb.EndRun{Run: run, Cause: pb.EndCause_END_CAUSE_UNDO}}},
		&pb.Command{Kind: &pb.Command_Finish{Finish: &pb.Finish{Run: run, Verdict: v}}},
	)
}

// schedule puts a schedule of an experiment, daily at ten.
func (b *book) schedule(name, experiment string) {
	b.t.Helper()
	b.apply(&pb.Command{Kind: &pb.Command_PutSchedule{PutSchedule: &pb.PutSchedule{
		Name: name, After: "2027-01-01T00:00",
		Experiment: &pb.Experiment{Version: 1, Name: experiment, Schedule: &pb.Schedule{Cron: "0 10 * * *", Timezone: "UTC"}},
	}}})
}

func (b *book) pass(schedule, slot string, outcome pb.SlotOutcome, count uint32) {
	b.t.Helper()
	b.apply(&pb.Command{Kind: &pb.Command_PassSlot{PassSlot: &pb.PassSlot{
		Slot: &pb.SlotRef{Schedule: schedule, Slot: slot}, Outcome: outcome, Count: count,
	}}})
}

// values are all that a scrape tells, by name and labels, of what is ours; a
// histogram by its count.
func (b *book) values() map[string]float64 {
	b.t.Helper()
	families, err := b.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	out := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := f.GetName()
			for i, l := range m.GetLabel() {
				key += fmt.Sprintf("%s%s=%q", map[bool]string{true: "{", false: ","}[i == 0], l.GetName(), l.GetValue())
			}
			if len(m.GetLabel()) > 0 {
				key += "}"
			}
			out[key] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return out
}

// busy is a book in which every metric has something to tell.
func busy(t *testing.T) *book {
	b := newBook(t)
	b.host("a1", "zone-a", "a")
	b.host("b1", "zone-b", "a")
	b.host("c1", "zone-c", "a")
	b.host("d1", "zone-d", "a")
	b.schedule("weekly", "dark")
	b.apply(putSink("ops"), putSink("gone"))
	b.values()
	b.run("dark-1", "dark", "a1")
	b.marks("dark-1", "a1", 3*time.Millisecond, 7*time.Millisecond)
	b.finish("dark-1", pb.Verdict_VERDICT_PASS)
	b.run("dark-2", "dark", "b1")
	b.step("dark-2", "b1", pb.StepState_STEP_STATE_HELD, 0)
	b.run("dark-3", "dark", "a1")
	b.step("dark-3", "a1", pb.StepState_STEP_STATE_HELD, 0)
	b.now += 80e9
	b.host("b1", "zone-b", "")
	b.run("dark-4", "dark", "c1")
	b.step("dark-4", "c1", pb.StepState_STEP_STATE_HELD, 0)
	b.apply(&pb.Command{Kind: &pb.Command_Halt{Halt: &pb.Halt{Id: "h"}}})
	b.Call("/squall.v1.ControlService/Status", nil)
	b.Took("/squall.v1.ControlService/Status", time.Millisecond)
	b.Committed(time.Millisecond)
	return b
}

func putSink(name string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_PutSink{PutSink: &pb.PutSink{Sink: &pb.Sink{
		Name: name, Kind: pb.SinkKind_SINK_KIND_CLOUDEVENTS, Url: "https://hooks.test/", Events: []string{state.EventRunVerdict},
	}}}}
}
