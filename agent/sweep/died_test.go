package sweep

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	pb "squall/proto/squall/v1"
)

// TestKilledHelperIsToldAtOnce kills the process that carries a fault: the step
// says which mechanism has ended, nothing that it shows holds any more, and its
// undo leaves nothing.
func TestKilledHelperIsToldAtOnce(t *testing.T) {
	delay := row("net.delay")
	faults[delay].require(t)
	l := newLane(t)
	l.begin(0)
	defer l.end()
	l.tried()
	before := l.snapshot()
	if answer, err := l.inject(delay); err != nil || answer.GetRefused() != nil {
		t.Fatalf("inject: %v, %v", answer, err)
	}
	for _, pid := range l.pids("helper") {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	l.await("its death is told", func() bool { return slices.ContainsFunc(l.shown(), ended) })
	for _, e := range l.shown() {
		if e.GetHolds() {
			t.Errorf("it still shows %s: %s", e.GetName(), e.GetText())
		}
	}
	l.undo()
	if !slices.ContainsFunc(l.shown(), ended) {
		t.Errorf("after the undo its death is forgotten: %v", l.shown())
	}
	if left := diff(before, l.snapshot()); len(left) > 0 {
		t.Errorf("left: %s", strings.Join(left, "\n"))
	}
}

func ended(e *pb.Evidence) bool {
	return e.GetName() == "ended" && strings.HasPrefix(e.GetText(), "the delay line ended at ")
}

// shown is what the only step shows of its time.
func (l *lane) shown() []*pb.Evidence {
	var all []*pb.Evidence
	for _, s := range l.status().GetSteps() {
		all = append(all, s.GetEvidence()...)
	}
	return slices.DeleteFunc(all, func(e *pb.Evidence) bool { return e.GetAfter() })
}
