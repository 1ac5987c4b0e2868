package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// localStatusView is how a host stands: what is injected now, what is left over,
// and after that what has ended.
func localStatusView(s *pb.LocalStatusResponse) view {
	held, ended := heldAndEnded(s.GetSteps())
	return view{message: s, names: stepNames(held), table: func(w io.Writer, _ bool) {
		fmt.Fprintln(w, localHead(s))
		if len(held) == 0 {
			fmt.Fprintln(w, "injected: nothing")
		}
		for _, step := range held {
			printLocalStep(w, "injected: ", step)
		}
		for _, line := range localRest(s) {
			fmt.Fprintln(w, line)
		}
		for _, step := range ended {
			printLocalStep(w, "ended: ", step)
		}
	}}
}

// heldAndEnded are a host's steps, oldest first: those that still come to
// something, and those that are over.
func heldAndEnded(steps []*pb.StepStatus) (held, ended []*pb.StepStatus) {
	for _, s := range oldestFirst(steps) {
		if isOver(s) {
			ended = append(ended, s)
			continue
		}
		held = append(held, s)
	}
	return held, ended
}

func isOver(s *pb.StepStatus) bool {
	return s.GetState() == pb.StepState_STEP_STATE_REVERTED || s.GetState() == pb.StepState_STEP_STATE_REFUSED
}

func stepNames(steps []*pb.StepStatus) (names []string) {
	for _, s := range steps {
		names = append(names, s.GetRun()+"/"+s.GetStep())
	}
	return names
}

// localHead says whose a host is, and whether its agent is well.
func localHead(s *pb.LocalStatusResponse) string {
	from := "server " + s.GetServer()
	if s.GetStandalone() {
		from = "standalone"
	} else if s.GetServer() == "" {
		from = "no server"
	}
	return fmt.Sprintf("%s: %s, lease left %s, supervisor %d, worker %d", s.GetHost(), from,
		time.Duration(s.GetLeaseLeftNanos()).Round(time.Millisecond), s.GetSupervisorPid(), s.GetWorkerPid())
}

// localRest is what is left over on a host, whether it is halted, and what is
// wrong with its journal.
func localRest(s *pb.LocalStatusResponse) (lines []string) {
	for _, r := range s.GetResidue() {
		lines = append(lines, "residue: "+r)
	}
	for _, step := range s.GetSteps() {
		for _, r := range step.GetResidue() {
			lines = append(lines, fmt.Sprintf("residue: %s (of %s)", r, step.GetRun()))
		}
	}
	if len(lines) == 0 {
		lines = append(lines, "residue: 0")
	}
	if h := s.GetHalt(); h.GetEngaged() {
		lines = append(lines, "halted: "+h.GetId()+when(h.GetReason() != "", ": "+h.GetReason())+unrecorded(h)+"; squall resume --local lets go")
	}
	return append(lines, journalLines(s)...)
}

// journalLines are what is wrong with the host's journal.
func journalLines(s *pb.LocalStatusResponse) (lines []string) {
	if s.GetDamage() != nil {
		lines = append(lines, localDamage(s.GetDamage()))
	}
	for _, what := range s.GetUnrecorded() {
		lines = append(lines, "not on disk yet: "+what)
	}
	if s.GetDisk() != "" {
		lines = append(lines, "the journal's disk says: "+s.GetDisk())
	}
	return lines
}

// localDamage is what the journal lost, and what to do on this host.
func localDamage(d *pb.Damage) string {
	return "journal damaged " + damageText(d) + "; no fault begins here until squall resume --local, or squall confirm damage from afar"
}

// localStepsView shows the steps that an answer speaks of.
func localStepsView(answer any, steps ...*pb.StepStatus) view {
	return view{message: answer, names: stepNames(steps), table: func(w io.Writer, _ bool) {
		for _, s := range steps {
			printLocalStep(w, "", s)
		}
	}}
}

// printLocalStep tells of one step: of one that is over, in the past tense.
func printLocalStep(w io.Writer, before string, s *pb.StepStatus) {
	state := text.Word(s.GetState())
	if s.GetCause() != pb.RevertCause_REVERT_CAUSE_UNSPECIFIED {
		state += " (" + text.Word(s.GetCause()) + ")"
	}
	if marks := s.GetJournal(); len(marks) > 0 {
		state += when(isOver(s), " at ") + when(!isOver(s), " since ") + clockTime(marks[len(marks)-1].GetActualUnixNanos())
	}
	fmt.Fprintf(w, "%s%s %s %s\n", before, s.GetRun(), s.GetStep(), state)
	for _, line := range stepLines(s) {
		fmt.Fprintln(w, "  "+line)
	}
}

// stepLines are what a step touches, or touched, and what was seen of it. One
// that was refused has touched nothing.
func stepLines(s *pb.StepStatus) (lines []string) {
	if s.GetState() == pb.StepState_STEP_STATE_REFUSED {
		return []string{"nothing was touched" + when(s.GetRefused() != nil, ": "+s.GetRefused().GetMessage())}
	}
	for _, t := range s.GetTouches() {
		if isOver(s) {
			t, _, _ = strings.Cut(t, "; undo: ")
			lines = append(lines, "touched: "+t)
			continue
		}
		lines = append(lines, "touches: "+t)
	}
	for _, e := range s.GetEvidence() {
		lines = append(lines, "seen: "+e.GetText())
	}
	for _, r := range s.GetResidue() {
		lines = append(lines, "still changed: "+r)
	}
	return lines
}

// oldestFirst orders steps by the host's journal, and those that it doesn't
// know yet behind them by name.
func oldestFirst(steps []*pb.StepStatus) []*pb.StepStatus {
	first := func(s *pb.StepStatus) uint64 {
		if len(s.GetJournal()) == 0 {
			return math.MaxUint64
		}
		return s.GetJournal()[0].GetSeq()
	}
	return slices.SortedFunc(slices.Values(steps), func(a, b *pb.StepStatus) int {
		return cmp.Or(cmp.Compare(first(a), first(b)), cmp.Compare(a.GetRun(), b.GetRun()), cmp.Compare(a.GetStep(), b.GetStep()))
	})
}

// localAbilitiesView is which mechanisms work on a host.
func localAbilitiesView(d *pb.LocalDoctorResponse) view {
	v := view{message: d, table: func(w io.Writer, _ bool) {
		if d.GetDamage() != nil {
			fmt.Fprintln(w, localDamage(d.GetDamage()))
		}
		for _, a := range d.GetAbilities() {
			fmt.Fprintf(w, "%-14s %-8s %s\n", a.GetName(), text.Word(a.GetState()), a.GetDetail())
		}
	}}
	for _, a := range d.GetAbilities() {
		v.names = append(v.names, a.GetName())
	}
	return v
}
