package state

import (
	"fmt"
	"strings"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// maxEvents bounds a run's story. The beginning is kept: what comes after is
// in the steps and findings, which are complete.
const maxEvents = 20000

// tell adds a line to a run's story. Its instant is that of the command unless
// it says otherwise.
func (t *change) tell(r *record, e *pb.Event) {
	if len(r.run.GetEvents()) >= maxEvents && e.GetKind() != pb.EventKind_EVENT_KIND_VERDICT {
		return
	}
	e.Index, e.Run = t.index, r.run.GetId()
	if e.GetAtUnixNanos() == 0 {
		e.AtUnixNanos = t.last
	}
	e.IncidentUnixNanos = Incident(r.run, e.GetAtUnixNanos())
	r.run.Events = append(r.run.Events, e)
}

// Incident is an instant of a run in incident time, both in Unix nanoseconds; 0
// where the run has none.
func Incident(r *pb.Run, at int64) int64 {
	p := r.GetPlan()
	if p.GetOriginUnixNanos() == 0 || r.GetT0UnixNanos() == 0 || at < r.GetT0UnixNanos() {
		return 0
	}
	return p.GetOriginUnixNanos() + scale(at-r.GetT0UnixNanos(), p.GetMilliSpeed())
}

// scale multiplies by thousandths without leaving 64 bits: days times 1000x fit.
func scale(nanos int64, milli uint64) int64 {
	if milli == 0 {
		return nanos
	}
	m := int64(min(milli, 1_000_000))
	return nanos/1000*m + nanos%1000*m/1000
}

func stateText(r *pb.Run) string {
	line := stateName(r.GetState())
	if r.GetState() == pb.RunState_RUN_STATE_REVERTING && r.GetEndCause() != pb.EndCause_END_CAUSE_UNSPECIFIED {
		line += ": " + text.Word(r.GetEndCause())
		if r.GetEndDetail() != "" {
			line += ", " + r.GetEndDetail()
		}
	}
	return line
}

func stepText(s *pb.StepStatus) string {
	line := fmt.Sprintf("%s on %s: %s", s.GetStep(), s.GetHost(), text.Word(s.GetState()))
	if s.GetCause() != pb.RevertCause_REVERT_CAUSE_UNSPECIFIED {
		line += " (" + text.Word(s.GetCause()) + ")"
	}
	if s.GetRefused() != nil {
		line += ": " + s.GetRefused().GetMessage()
	}
	if len(s.GetResidue()) > 0 {
		line += ": residue: " + strings.Join(s.GetResidue(), ", ")
	}
	return line
}

func phaseText(p *pb.PlannedPhase) string {
	if p.GetSay() == "" {
		return p.GetName()
	}
	return p.GetName() + ": " + p.GetSay()
}

func findingText(f *pb.Finding) string {
	line := fmt.Sprintf("%s %q %s", text.Word(f.GetKind()), f.GetName(), text.Word(f.GetState()))
	if f.GetText() != "" {
		line += ": " + f.GetText()
	}
	return line
}

func verdictText(r *pb.Run) string {
	return "verdict " + text.Word(r.GetVerdict())
}
