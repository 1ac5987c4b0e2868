package state

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/proto"

	"squall/experiments/judge"
	pb "squall/proto/squall/v1"
)

const (
	maxMarks    = 256 // journal marks of one step on one host
	maxEvidence = 64  // readings of one step on one host
	maxStrays   = 64  // ends of unknown runs that a host is remembered for
)

// Ended tells whether a step has come to its end on a host, for good.
func Ended(s *pb.StepStatus) bool {
	switch s.GetState() {
	case pb.StepState_STEP_STATE_REVERTED, pb.StepState_STEP_STATE_REFUSED:
		return true
	}
	return false
}

// Shown tells whether a step has ended on a host and was shown clean.
func Shown(s *pb.StepStatus) bool { return Ended(s) && len(s.GetResidue()) == 0 }

// booting tells whether a host that has come back still owes its boot token, or
// the word whether its workloads are ready. Its end is not confirmed before: a
// host forgets what is confirmed.
func booting(r *pb.Run, step *pb.PlannedStep, host string) bool {
	steps := r.GetSteps()[step.GetId()]
	return active(r) && (steps.GetTokenUnixNanos()[host] > 0 || judge.Unready(step, steps.GetHosts()[host]))
}

// recordSteps takes what hosts reported. Reports come late, twice and out of
// order: a step only moves forward, and one that has ended stays ended.
func (t *change) recordSteps(c *pb.RecordSteps) *pb.Problem {
	for _, s := range c.GetSteps() {
		t.recordStep(s)
	}
	return nil
}

func (t *change) recordStep(s *pb.StepStatus) {
	r := t.runs[s.GetRun()]
	if r == nil {
		t.stray(s)
		return
	}
	if t.archived.get(s.GetRun()) != nil { // it changes no more
		if !Shown(r.run.GetSteps()[s.GetStep()].GetHosts()[s.GetHost()]) { // else its end is confirmed already
			t.stray(s)
		}
		return
	}
	if r.slots[s.GetHost()][s.GetStep()] == nil {
		return // a host speaks for its own steps alone
	}
	if t.outdated(r.run, s) {
		return
	}
	before := r.run.GetSteps()[s.GetStep()].GetHosts()[s.GetHost()]
	after := merge(before, s)
	if proto.Equal(before, after) {
		return
	}
	r = t.edit(s.GetRun())
	hosts := t.editStep(r, s.GetStep())
	hosts.Hosts[s.GetHost()] = after
	if after.GetReadyAgain() && hosts.TokenUnixNanos[s.GetHost()] > 0 {
		hosts.TokenUnixNanos[s.GetHost()] *= -1 // given back
		t.reorder(s.GetHost())                  // now its end is confirmed
	}
	if before.GetState() != after.GetState() {
		t.tellStep(r, after)
	}
	t.settle(after)
	p := stepOf(r.run, s.GetStep())
	if Ended(before) != Ended(after) || Shown(before) != Shown(after) || judge.Unready(p, before) != judge.Unready(p, after) {
		t.reorder(s.GetHost()) // its task goes, its end is confirmed
	}
}

// outdated tells whether a host got ready under an order of before a restore, or
// of before the run was let in: what it is ready for is not this run.
func (t *change) outdated(r *pb.Run, s *pb.StepStatus) bool {
	under := s.GetOrder()
	return s.GetState() == pb.StepState_STEP_STATE_READY && under != nil &&
		(under.GetEpoch() != t.epoch || under.GetIndex() < r.GetAdmittedIndex())
}

func (t *change) tellStep(r *record, s *pb.StepStatus) {
	t.tell(r, &pb.Event{
		Kind: pb.EventKind_EVENT_KIND_STEP, Text: stepText(s), Phase: stepOf(r.run, s.GetStep()).GetPhase(),
		Step: &pb.StepStatus{
			Run: s.GetRun(), Step: s.GetStep(), Host: s.GetHost(), State: s.GetState(), Cause: s.GetCause(),
			Refused: s.GetRefused(), Engine: s.GetEngine(),
		},
	})
}

// merge is what is known of a step on a host after one more report.
func merge(known, heard *pb.StepStatus) *pb.StepStatus {
	if known == nil {
		return heard
	}
	out := shallow(known)
	if newer(known, heard) {
		out = shallow(heard)
		keep(out, known)
	}
	out.Journal = mergeMarks(known.GetJournal(), heard.GetJournal())
	out.ReadyAgain = known.GetReadyAgain() || heard.GetReadyAgain()
	return out
}

// newer tells whether a report says more than what is known. Between two
// reports of one state the longer journal wins: residue may go away later.
func newer(known, heard *pb.StepStatus) bool {
	if Ended(known) && heard.GetState() != known.GetState() {
		return false
	}
	if heard.GetState() != known.GetState() {
		return heard.GetState() > known.GetState()
	}
	return lastMark(heard) >= lastMark(known)
}

func lastMark(s *pb.StepStatus) uint64 {
	var last uint64
	for _, m := range s.GetJournal() {
		last = max(last, m.GetSeq())
	}
	return last
}

// keep carries over what a later report leaves out.
func keep(out, known *pb.StepStatus) {
	if len(out.GetTouches()) == 0 {
		out.Touches = known.GetTouches()
	}
	if out.GetArmNanos() == 0 {
		out.ArmNanos = known.GetArmNanos()
	}
	if out.GetEngine() == "" {
		out.Engine = known.GetEngine()
	}
	if !out.GetReadyAgain() && len(out.GetRecoveryFailures()) == 0 { // an agent that was restarted does not know
		out.ReadyUnixNanos, out.RecoveryFailures = known.GetReadyUnixNanos(), known.GetRecoveryFailures()
	}
	out.Evidence = mergeEvidence(known.GetEvidence(), out.GetEvidence())
}

// mergeEvidence takes the newest look, for a report tells of one whole: what an
// older one could not read is of no more account. Looks at the mechanism and looks
// after its end stand apart: what was seen while the fault held is not lost when
// the host shows that it is clean.
func mergeEvidence(known, heard []*pb.Evidence) []*pb.Evidence {
	out := slices.Clone(heard)
	for _, k := range known {
		sameLook := func(h *pb.Evidence) bool { return h.GetAfter() == k.GetAfter() }
		if !slices.ContainsFunc(heard, sameLook) {
			out = append(out, k)
		}
	}
	return out[:min(len(out), maxEvidence)]
}

// mergeMarks joins two views of a journal by sequence number.
func mergeMarks(a, b []*pb.JournalMark) []*pb.JournalMark {
	out := append(slices.Clone(a), b...)
	slices.SortStableFunc(out, func(a, b *pb.JournalMark) int { return cmp.Compare(a.GetSeq(), b.GetSeq()) })
	out = slices.CompactFunc(out, func(a, b *pb.JournalMark) bool { return a.GetSeq() == b.GetSeq() })
	return out[:min(len(out), maxMarks)]
}

// stepOf is a step of a run's plan, nil when it has none of that id.
func stepOf(r *pb.Run, id string) *pb.PlannedStep {
	for _, s := range r.GetPlan().GetSteps() {
		if s.GetId() == id {
			return s
		}
	}
	return nil
}

// grantTokens lets hosts boot, never more at one time than the step allows.
func (t *change) grantTokens(c *pb.GrantTokens) *pb.Problem {
	if t.runs[c.GetRun()] == nil {
		return unknownRun(c.GetRun())
	}
	r := t.edit(c.GetRun())
	step := stepOf(r.run, c.GetStep())
	if step == nil {
		return refuse(pb.Refusal_REFUSAL_UNKNOWN, "", "run %q has no step %q", c.GetRun(), c.GetStep())
	}
	s := t.editStep(r, c.GetStep())
	for _, h := range c.GetHosts() {
		if r.slots[h][c.GetStep()] == nil || s.TokenUnixNanos[h] != 0 {
			continue
		}
		if n := step.GetBootTokens(); n > 0 && tokensInUse(step, s, t.last) >= int(n) {
			return refuse(pb.Refusal_REFUSAL_GUARDRAIL, "", "step %q of run %q: all %d boot tokens are in use", c.GetStep(), c.GetRun(), n)
		}
		s.TokenUnixNanos[h] = t.last
		t.reorder(h)
	}
	return nil
}

// TokensInUse is how many hosts of a step hold a boot token at an instant:
// those that were granted one, did not give it back, and are within boot_limit.
func TokensInUse(r *pb.Run, step string, unixNanos int64) int {
	return tokensInUse(stepOf(r, step), r.GetSteps()[step], unixNanos)
}

func tokensInUse(p *pb.PlannedStep, s *pb.StepHosts, now int64) int {
	n := 0
	for _, granted := range s.GetTokenUnixNanos() {
		if granted > 0 && (p.GetBootLimitNanos() == 0 || now-granted < p.GetBootLimitNanos()) {
			n++
		}
	}
	return n
}
