package fleet

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

const (
	ready    = pb.StepState_STEP_STATE_READY
	held     = pb.StepState_STEP_STATE_HELD
	reverted = pb.StepState_STEP_STATE_REVERTED
)

// largest is how many bytes the largest command took, and how many there were of steps.
func (r *rig) largest() (bytes, commands int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.commands {
		bytes = max(bytes, proto.Size(c))
		if c.GetRecordSteps() != nil {
			commands++
		}
	}
	return bytes, commands
}

func TestHostSpeaksForItselfAlone(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		r.join("b")
		r.admit("r", "a", "b")
		st := stepOn("r", held)
		st.Host = "b"
		a.report(st)
		r.pass(Patience) // b might say as much
		if r.step("r", "a").GetState() != held || r.step("r", "b") != nil {
			t.Errorf("recorded %v", r.machine.View().Run("r").GetSteps())
		}
	})
}

func TestReportThatIsKnownCostsNothing(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		r.admit("r", "a")
		a.report(stepOn("r", held))
		_, before := r.largest()
		for range 50 {
			a.report(stepOn("r", held))
		}
		if _, after := r.largest(); after != before {
			t.Errorf("%d commands for what is known", after-before)
		}
	})
}

// TestWhatIsSaidIsCut: a host that says too much of a step is heard all the
// same, and what says whether it is clean is never cut to nothing.
func TestWhatIsSaidIsCut(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		r.admit("r", "a")
		st := stepOn("r", reverted)
		for i := range 2000 {
			st.Residue = append(st.Residue, fmt.Sprintf("link %d %s", i, strings.Repeat("ä", 100)))
		}
		st.Refused = &pb.Problem{Message: strings.Repeat("ä", 40_000)}
		st.RecoveryFailures = []*pb.RecoveryFailure{{Workload: "w", Log: strings.Split(strings.Repeat("line ", 500), " ")}}
		a.report(st)
		got := r.step("r", "a")
		if got.GetState() != reverted || len(got.GetResidue()) != maxLines || got.GetResidue()[maxLines-1] != "and 1873 more" {
			t.Errorf("recorded %d lines, the last %q", len(got.GetResidue()), got.GetResidue()[len(got.GetResidue())-1])
		}
		if n := proto.Size(got); n > maxStep {
			t.Errorf("it takes %d bytes", n)
		}
	})
}

// TestOneAgentsFloodStopsNobody: forty reports of nearly a message's size from
// one agent, and a report from another.
func TestOneAgentsFloodStopsNobody(t *testing.T) {
	inBubble(t, func(r *rig) {
		a, b := r.join("a"), r.join("b")
		r.admit("r", "a", "b")
		r.set(func() { r.down = errors.New("no leader") })
		for i := range 40 {
			var all []*pb.StepStatus
			for k := range 8 {
				st := stepOn(fmt.Sprint("stray-", i, "-", k), reverted)
				for range maxLines {
					st.Residue = append(st.Residue, strings.Repeat("x", maxLine))
				}
				all = append(all, st)
			}
			a.report(all...)
		}
		r.f.steps.mu.Lock()
		waiting := r.f.steps.waiting["a"]
		r.f.steps.mu.Unlock()
		if waiting > hostBytes {
			t.Errorf("%d bytes of one host wait", waiting)
		}
		told, remembered := 0, 0
		all, _ := r.f.Told()
		for _, st := range all {
			told, remembered = told+1, remembered+proto.Size(st)
		}
		if told == 0 || remembered > hostBytes {
			t.Errorf("%d steps of one host are remembered, in %d bytes", told, remembered)
		}
		r.set(func() { r.down = nil })
		b.report(stepOn("r", held))
		r.pass(Patience) // a might say as much
		if r.step("r", "b").GetState() != held {
			t.Error("the other agent is not heard")
		}
		if bytes, _ := r.largest(); bytes > batchBytes+maxStep {
			t.Errorf("a command of %d bytes", bytes)
		}
	})
}

// TestFloodIsReadNoFasterThanItMay: what one agent says again and again, each time
// otherwise, does not become as much of the log.
func TestFloodIsReadNoFasterThanItMay(t *testing.T) {
	inBubble(t, func(r *rig) {
		a, b := r.join("a"), r.join("b")
		r.admit("r", "a", "b")
		began, said := time.Now(), 0
		for i := range 400 {
			st := stepOn("r", reverted)
			st.Residue = append(slices.Repeat([]string{strings.Repeat("x", maxLine)}, maxLines-1), fmt.Sprint(i))
			a.report(st)
			said += maxLines * maxLine
			if i == 300 {
				if pong := b.ping(nil); pong == nil || !pong.GetRenewed() {
					t.Error("another agent is not answered")
				}
			}
		}
		if took := time.Since(began); took < time.Duration((said-sayBurst)/sayRate)*time.Second {
			t.Errorf("%d bytes were read in %s, and came to %d commands", said, took, len(r.commands))
		}
	})
}

// TestEndsAreToldUntilTheyAreRecorded: without a quorum, what agents said is
// all there is; more of it than a fixed number must not be lost.
func TestEndsAreToldUntilTheyAreRecorded(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		var runs []string
		for i := range 30 {
			run := fmt.Sprint("r", i)
			r.admit(run, "a")
			r.must(&pb.Command{Kind: &pb.Command_EndRun{EndRun: &pb.EndRun{Run: run, Cause: pb.EndCause_END_CAUSE_UNDO}}})
			runs = append(runs, run)
		}
		for i := range 300 { // a long day: ends that the state knows
			a.report(stepOn(fmt.Sprint("r", i%10), reverted))
		}
		r.set(func() { r.down = errors.New("no quorum") })
		_, more := r.f.Told()
		for _, run := range runs[10:] {
			a.report(stepOn(run, reverted))
		}
		select {
		case <-more:
		default:
			t.Error("nobody is told that there is more")
		}
		told, _ := r.f.Told()
		if len(told) != 20 {
			t.Errorf("%d ends are told, of 20 that are not recorded", len(told))
		}
		r.set(func() { r.down = nil })
		for _, run := range runs {
			a.report(stepOn(run, reverted))
		}
		a.report()
		if told, _ := r.f.Told(); len(told) != 0 {
			t.Errorf("%d ends are kept that the state knows", len(told))
		}
	})
}

func TestManyEndsOfOneHostAreAllTold(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		r.set(func() { r.down = errors.New("no quorum") })
		var all []*pb.StepStatus
		for i := range 600 {
			all = append(all, stepOn(fmt.Sprint("r", i), reverted))
		}
		a.report(all...)
		if told, _ := r.f.Told(); len(told) != 600 {
			t.Errorf("%d of 600 ends are told", len(told))
		}
	})
}
