package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
	"squall/server/consensus"
	"squall/server/fleet"
	"squall/server/state"
)

const (
	ready   = pb.StepState_STEP_STATE_READY
	held    = pb.StepState_STEP_STATE_HELD
	refused = pb.StepState_STEP_STATE_REFUSED
)

// logOf is a log that commits at once, behind a gatherer.
type logOf struct {
	gatherer
	t       *testing.T
	machine *state.Machine

	mu     sync.Mutex // guards all below
	index  uint64
	writes [][]string       // ids of what went into the log together
	fails  map[string]error // by id
}

// done is a proposal that has come to its end.
type done struct {
	outcome *pb.Outcome
	err     error
}

func (d done) Wait(context.Context) (*pb.Outcome, error) { return d.outcome, d.err }

// gathering runs a test in simulated time: a and b are connected to s1, c to s2,
// and all three are to be ready for run r.
func gathering(t *testing.T, test func(*testing.T, *logOf)) {
	synctest.Test(t, func(t *testing.T) {
		l := &logOf{t: t, machine: state.New(), fails: make(map[string]error)}
		l.view, l.begin = l.machine.View, l.write
		step := &pb.PlannedStep{Id: "s", Fault: &pb.Fault{Kind: &pb.Fault_DnsFail{DnsFail: &pb.DNSFail{}}}, EndNanos: 60e9}
		plan := &pb.Plan{Experiment: "test", Steps: []*pb.PlannedStep{step}, LengthNanos: 60e9, DeadlineNanos: 70e9, LeaseNanos: 6e9}
		hosts := &pb.UpdateHosts{}
		for _, host := range []string{"a", "b", "c"} {
			server := map[bool]string{true: "s2", false: "s1"}[host == "c"]
			hosts.Hosts = append(hosts.Hosts, &pb.HostUpdate{Name: host, Server: server, Session: 1, Host: &pb.Host{Name: host, Zone: "zone-a"}})
			step.Slots = append(step.Slots, &pb.HostSlot{Host: host, EndNanos: 60e9, DeadlineNanos: 70e9})
		}
		l.must(&pb.Command{Id: "hosts", Kind: &pb.Command_UpdateHosts{UpdateHosts: hosts}})
		l.must(&pb.Command{Id: "admit", Kind: &pb.Command_AdmitRun{AdmitRun: &pb.AdmitRun{
			Run: "r", Plan: plan, Experiment: &pb.Experiment{Version: 1, Name: "test"},
		}}})
		l.writes = nil
		test(t, l)
	})
}

func (l *logOf) write(_ context.Context, commands ...*pb.Command) (all []proposal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []string
	for _, cmd := range commands {
		ids = append(ids, cmd.GetId())
		if err := l.fails[cmd.GetId()]; err != nil {
			all = append(all, done{err: err})
			continue
		}
		l.index++
		all = append(all, done{outcome: l.machine.Apply(l.index, proto.CloneOf(cmd))})
	}
	l.writes = append(l.writes, ids)
	return all
}

func (l *logOf) must(cmd *pb.Command) {
	l.t.Helper()
	if o, err := l.propose(l.t.Context(), cmd); err != nil || o[0].GetRefused() != nil {
		l.t.Fatalf("%v: %v, %v", cmd, err, o)
	}
}

// say reports that hosts have come to a state; the answer is there when it is
// committed.
func (l *logOf) say(ctx context.Context, to pb.StepState, hosts ...string) <-chan done {
	cmd := &pb.Command{Id: fmt.Sprint(hosts, to), Kind: &pb.Command_RecordSteps{RecordSteps: reports(to, hosts...)}}
	answer := make(chan done, 1)
	go func() {
		outcomes, err := l.propose(ctx, cmd)
		if err != nil {
			answer <- done{err: err}
			return
		}
		answer <- done{outcome: outcomes[0]}
	}()
	synctest.Wait()
	return answer
}

func reports(to pb.StepState, hosts ...string) *pb.RecordSteps {
	all := &pb.RecordSteps{}
	for _, h := range hosts {
		all.Steps = append(all.Steps, &pb.StepStatus{Run: "r", Step: "s", Host: h, State: to})
	}
	return all
}

func (l *logOf) wrote(want ...[]string) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.EqualFunc(l.writes, want, slices.Equal) {
		l.t.Errorf("written together: %v, not %v", l.writes, want)
	}
}

func id(to pb.StepState, hosts ...string) string { return fmt.Sprint(hosts, to) }

func TestReportsOfOneStageShareAWrite(t *testing.T) {
	gathering(t, func(t *testing.T, l *logOf) {
		began := time.Now()
		for _, to := range []pb.StepState{ready, held} {
			first, second := l.say(t.Context(), to, "a", "b"), l.say(t.Context(), to, "c")
			if a, b := <-first, <-second; a.err != nil || b.err != nil || a.outcome.GetIndex()+1 != b.outcome.GetIndex() {
				t.Errorf("they came to %v and %v", a, b)
			}
		}
		l.wrote([]string{id(ready, "a", "b"), id(ready, "c")}, []string{id(held, "a", "b"), id(held, "c")})
		if waited := time.Since(began); waited != 0 {
			t.Errorf("they waited %s", waited)
		}
	})
}

// TestReportIsHeldForAMomentOnly: c says nothing.
func TestReportIsHeldForAMomentOnly(t *testing.T) {
	gathering(t, func(t *testing.T, l *logOf) {
		began, answer := time.Now(), l.say(t.Context(), ready, "a", "b")
		if got := <-answer; got.err != nil || time.Since(began) != fleet.Patience {
			t.Errorf("committed after %s: %v", time.Since(began), got)
		}
	})
}

// TestLostHostIsNotWaitedFor: nothing can come from one that no server knows.
func TestLostHostIsNotWaitedFor(t *testing.T) {
	gathering(t, func(t *testing.T, l *logOf) {
		l.must(&pb.Command{Id: "lost", Kind: &pb.Command_UpdateHosts{UpdateHosts: &pb.UpdateHosts{Hosts: []*pb.HostUpdate{{
			Name: "c", Session: 2, Host: &pb.Host{Name: "c", Zone: "zone-a"},
		}}}}})
		began, answer := time.Now(), l.say(t.Context(), ready, "a", "b")
		if got := <-answer; got.err != nil || time.Since(began) != 0 {
			t.Errorf("committed after %s: %v", time.Since(began), got)
		}
	})
}

// TestWhatIsUrgentTakesAlongWhatIsHeld, and goes at once itself.
func TestWhatIsUrgentTakesAlongWhatIsHeld(t *testing.T) {
	for name, urgent := range map[string]*pb.Command{
		"a refusal":         {Id: "it", Kind: &pb.Command_RecordSteps{RecordSteps: reports(refused, "c")}},
		"a person's undo":   {Id: "it", Kind: &pb.Command_EndRun{EndRun: &pb.EndRun{Run: "r", Cause: pb.EndCause_END_CAUSE_UNDO}}},
		"part of a server":  {Id: "it", Kind: &pb.Command_RecordSteps{RecordSteps: reports(held, "a")}},
		"registry's change": {Id: "it", Kind: &pb.Command_UpdateHosts{UpdateHosts: &pb.UpdateHosts{}}},
	} {
		t.Run(name, func(t *testing.T) {
			gathering(t, func(t *testing.T, l *logOf) {
				began, answer := time.Now(), l.say(t.Context(), ready, "a", "b")
				l.must(urgent)
				if got := <-answer; got.err != nil || time.Since(began) != 0 {
					t.Errorf("committed after %s: %v", time.Since(began), got)
				}
				l.wrote([]string{id(ready, "a", "b"), "it"})
			})
		})
	}
}

// TestWhatGoesTogetherComesToItsOwnEnd: one can't be written, and one is refused.
func TestWhatGoesTogetherComesToItsOwnEnd(t *testing.T) {
	gathering(t, func(t *testing.T, l *logOf) {
		l.fails[id(ready, "a", "b")] = consensus.ErrUnknown
		lost := l.say(t.Context(), ready, "a", "b")
		again := &pb.Command{Id: "again", Kind: &pb.Command_Prepare{Prepare: &pb.Prepare{Run: "r"}}}
		kept := &pb.Command{Id: "kept", Kind: &pb.Command_EndRun{EndRun: &pb.EndRun{Run: "r", Cause: pb.EndCause_END_CAUSE_UNDO}}}
		outcomes, err := l.propose(t.Context(), again, kept)
		if err != nil || outcomes[0].GetRefused() == nil || outcomes[1].GetRefused() != nil {
			t.Errorf("they came to %v, %v", outcomes, err)
		}
		if got := <-lost; !errors.Is(got.err, consensus.ErrUnknown) {
			t.Errorf("what was not written came to %v", got)
		}
		delete(l.fails, id(ready, "a", "b")) // the server that sent it sends it again
		if got := <-l.say(t.Context(), ready, "a", "b"); got.err != nil || got.outcome.GetRepeatedCommand() {
			t.Errorf("sent again it came to %v", got)
		}
	})
}

// TestWhoGivesUpTakesNothingBack: the command goes with the others all the same.
func TestWhoGivesUpTakesNothingBack(t *testing.T) {
	gathering(t, func(t *testing.T, l *logOf) {
		ctx, giveUp := context.WithCancel(t.Context())
		first := l.say(ctx, ready, "a", "b")
		giveUp()
		if got := <-first; !errors.Is(got.err, consensus.ErrUnknown) {
			t.Errorf("who gave up got %v", got)
		}
		if got := <-l.say(t.Context(), ready, "c"); got.err != nil {
			t.Errorf("the other got %v", got)
		}
		if n := len(l.machine.View().Run("r").GetSteps()["s"].GetHosts()); n != 3 {
			t.Errorf("%d hosts' reports are recorded", n)
		}
	})
}
