package fleet

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

const (
	// maxLines and maxLine bound a list of lines that a host says of a step, and
	// each of them, in bytes.
	maxLines, maxLine = 128, 512
	// maxStep is the most that one report of a step may take, in bytes.
	maxStep = 128 << 10
)

// trim cuts what a host says of a step to what anybody will read. What says
// whether it is clean is never cut to nothing.
func trim(st *pb.StepStatus) {
	st.Run, st.Step = clip(st.GetRun()), clip(st.GetStep())
	st.Engine = clip(st.GetEngine())
	st.Touches, st.Residue, st.Drift = lines(st.GetTouches()), lines(st.GetResidue()), lines(st.GetDrift())
	st.Journal = st.GetJournal()[:min(len(st.GetJournal()), maxLines)]
	st.Evidence = st.GetEvidence()[:min(len(st.GetEvidence()), maxLines)]
	for _, e := range st.GetEvidence() {
		e.Name, e.Text = clip(e.GetName()), clip(e.GetText())
	}
	if p := st.GetRefused(); p != nil {
		st.Refused = &pb.Problem{Message: clip(p.GetMessage()), Fix: clip(p.GetFix()), Refusal: p.GetRefusal(), Path: clip(p.GetPath())}
	}
	trimFailures(st)
	if proto.Size(st) > maxStep {
		st.Touches, st.Evidence, st.RecoveryFailures = nil, nil, st.GetRecoveryFailures()[:min(len(st.GetRecoveryFailures()), 1)]
	}
}

func trimFailures(st *pb.StepStatus) {
	st.RecoveryFailures = st.GetRecoveryFailures()[:min(len(st.GetRecoveryFailures()), maxLines/8)]
	for _, f := range st.GetRecoveryFailures() {
		f.Workload, f.Why, f.Log = clip(f.GetWorkload()), clip(f.GetWhy()), lines(f.GetLog())
		f.Log = f.GetLog()[max(0, len(f.GetLog())-maxLines/8):]
	}
}

// lines is the beginning of a list, with a last line that says how much is left out.
func lines(all []string) []string {
	kept := all[:min(len(all), maxLines)]
	for i, line := range kept {
		kept[i] = clip(line)
	}
	if more := len(all) - len(kept); more > 0 {
		kept[len(kept)-1] = fmt.Sprintf("and %d more", more+1)
	}
	return kept
}

// clip is a line's beginning, never cut inside a letter.
func clip(line string) string {
	if len(line) <= maxLine {
		return line
	}
	return text.Clean(line[:maxLine]) + "…"
}
