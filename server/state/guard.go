package state

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"squall/experiments/plan"
	pb "squall/proto/squall/v1"
)

const (
	// maxGuards is how many guardrails of the cluster are kept, and maxExceptions
	// how many exceptions.
	maxGuards, maxExceptions = 64, 256
	// MaxException is how long an exception holds at the most.
	MaxException = 31 * 24 * time.Hour
	// maxLast is of how many environments the last run is kept for gaps.
	maxLast = 100
)

// Guards are the guardrails of the cluster that have names, in the order of those.
func (v *View) Guards() []*pb.Guard { return byName(v.guards) }

// Guard is a guardrail of the cluster by its name, nil when there is none.
func (v *View) Guard(name string) *pb.Guard { return v.guards[name] }

// Exceptions are the exceptions that hold at an instant in Unix nanoseconds, by
// their digests.
func (v *View) Exceptions(now int64) []*pb.GuardException {
	return slices.DeleteFunc(byName(v.exceptions), func(e *pb.GuardException) bool { return e.GetUntilUnixNanos() <= now })
}

// FileDigest is the SHA-256 of a file in hex; empty where there is no file.
func FileDigest(source []byte) string {
	if len(source) == 0 {
		return ""
	}
	return Digest(source)
}

// WorldFor is World, for what stands in a file. None is what has no file.
func (v *View) WorldFor(source []byte) plan.World {
	w := v.World()
	w.FileDigest = FileDigest(source)
	return w
}

// past are the runs that have fired and were over so many nanoseconds ago, or later.
func (v *View) past(horizon int64) (all []plan.Past) {
	if horizon == 0 {
		return nil
	}
	ended := func(r *pb.Run) int64 { return r.GetEnteredUnixNanos()[uint32(pb.RunState_RUN_STATE_DONE)] }
	for _, r := range v.pick(func(r *pb.Run) bool { return !active(r) && r.GetT0UnixNanos() != 0 && ended(r) > v.last-horizon }) {
		all = append(all, plan.Past{Active: v.runAs(r), EndUnixNanos: ended(r)})
	}
	return all
}

// lastFired are the runs, by id, that are done and that gaps are counted from: of
// each environment the one that has fired and was over last, for as long as a gap
// may be. A guardrail that is set only later counts from them, too.
func (v *View) lastFired() map[string]bool {
	past := v.past(plan.MaxGap)
	slices.Reverse(past)
	slices.SortStableFunc(past, func(a, b plan.Past) int { return cmp.Compare(b.EndUnixNanos, a.EndUnixNanos) })
	last, without := make(map[string]bool), maps.Clone(v.counted().environments)
	for _, p := range past {
		if len(without) == 0 || len(last) >= maxLast {
			break
		}
		for host := range v.runs[p.Run].slots {
			if env := plan.Environment(v.hosts.get(host).GetHost()); without[env] {
				delete(without, env)
				last[p.Run] = true
			}
		}
	}
	return last
}

// letPast are the guards that would refuse a run, if no exception let it past them.
func (t *change) letPast(c *pb.AdmitRun) (guards []string) {
	if len(t.exceptions) == 0 {
		return nil
	}
	for _, o := range plan.Opinions(c.GetPlan(), t.WorldFor(c.GetSource())) {
		if o.GetStanding() == pb.GuardStanding_GUARD_STANDING_EXCEPTED {
			guards = append(guards, o.GetGuard())
		}
	}
	return guards
}

// setGuard sets a guardrail. Runs under way that break it stand against it, or
// end with it.
func (t *change) setGuard(c *pb.SetGuard) *pb.Problem {
	g := shallow(c.GetGuard())
	if p := plan.CheckGuard(g); p != nil {
		return p
	}
	if g.GetClosed() != nil && len(g.GetClosed().GetOffsets()) == 0 {
		return refuse(pb.Refusal_REFUSAL_INVALID, "", "guardrail %s has hours, and nothing about the clocks of their zone", g.GetName())
	}
	if t.guards[g.GetName()] == nil && len(t.guards) >= maxGuards {
		return refuse(pb.Refusal_REFUSAL_GUARDRAIL, "remove one with: squall guard remove NAME", "%d guardrails are kept, the most that may be", maxGuards)
	}
	g.By, g.SetUnixNanos, g.Version = t.cmd.GetBy(), t.last, t.index
	breaking := t.Breaking(g, t.last)
	if len(breaking) > 0 && !c.GetEndRuns() {
		return stillBroken(g, breaking)
	}
	own(t, &t.guards)
	t.guards[g.GetName()] = g
	for _, b := range breaking {
		if p := t.end(b.Run, endByGuard(t.runs[b.Run].run), b.Why); p != nil {
			return p
		}
	}
	return nil
}

func endByGuard(r *pb.Run) pb.EndCause {
	if r.GetT0UnixNanos() == 0 {
		return pb.EndCause_END_CAUSE_NOT_READY
	}
	return pb.EndCause_END_CAUSE_ABORT_RULE
}

// Breaking are the runs under way that a guardrail would end at an instant in
// Unix nanoseconds, oldest first, and why. Those that end already are none.
func (v *View) Breaking(g *pb.Guard, now int64) (all []*pb.HinderedRun) {
	w := v.World()
	w.Guards, w.NowUnixNanos = []*pb.Guard{g}, now
	w.Past = v.past(plan.GuardHorizon(w.Guards))
	for _, r := range v.Active() {
		switch r.GetState() {
		case pb.RunState_RUN_STATE_REVERTING, pb.RunState_RUN_STATE_RECOVERING:
			continue
		}
		if o := plan.GuardBreach(r.GetId(), w); o != nil {
			all = append(all, &pb.HinderedRun{Run: r.GetId(), Why: o.GetMessage()})
		}
	}
	return all
}

func stillBroken(g *pb.Guard, runs []*pb.HinderedRun) *pb.Problem {
	var names []string
	for _, b := range runs {
		names = append(names, b.GetRun())
	}
	return refuse(pb.Refusal_REFUSAL_GUARDRAIL, "wait for the end of them, or end them with --end-runs",
		"guardrail %s is broken by runs under way: %s; the first: %s", g.GetName(), few(names), runs[0].GetWhy())
}

// removeGuard drops a guardrail, and what was excepted from it alone.
func (t *change) removeGuard(c *pb.RemoveGuard) *pb.Problem {
	name := c.GetName()
	if t.guards[name] == nil {
		return NoGuard(name)
	}
	own(t, &t.guards)
	delete(t.guards, name)
	for digest, e := range t.exceptions {
		if !slices.Contains(e.GetGuards(), name) {
			continue
		}
		own(t, &t.exceptions)
		e = shallow(e)
		e.Guards = slices.DeleteFunc(slices.Clone(e.GetGuards()), func(g string) bool { return g == name })
		if t.exceptions[digest] = e; len(e.GetGuards()) == 0 { // none would be all
			delete(t.exceptions, digest)
		}
	}
	return nil
}

// NoGuard refuses a guardrail that is not kept.
func NoGuard(name string) *pb.Problem {
	return refuse(pb.Refusal_REFUSAL_UNKNOWN, "see them with: squall guard list", "there is no guardrail %q", name)
}

// exceptGuards grants an exception, in the place of the one for its digest, or
// takes it back. Runs that it has let in are let go on.
func (t *change) exceptGuards(c *pb.ExceptGuards) *pb.Problem {
	e := c.GetException()
	if c.GetRevoke() {
		if t.exceptions[e.GetDigest()] == nil {
			return refuse(pb.Refusal_REFUSAL_UNKNOWN, "see them with: squall guard list", "there is no exception for %.80q", e.GetDigest())
		}
		own(t, &t.exceptions)
		delete(t.exceptions, e.GetDigest())
		return nil
	}
	if p := t.checkException(e); p != nil {
		return p
	}
	own(t, &t.exceptions)
	for digest, old := range t.exceptions {
		if old.GetUntilUnixNanos() <= t.last {
			delete(t.exceptions, digest)
		}
	}
	if t.exceptions[e.GetDigest()] == nil && len(t.exceptions) >= maxExceptions {
		return refuse(pb.Refusal_REFUSAL_GUARDRAIL, "take one back with: squall guard except DIGEST --revoke", "%d exceptions are kept, the most that may be", maxExceptions)
	}
	e = shallow(e)
	e.By, e.GrantedUnixNanos = t.cmd.GetBy(), t.last
	t.exceptions[e.GetDigest()] = e
	return nil
}

func (t *change) checkException(e *pb.GuardException) *pb.Problem {
	raw, err := hex.DecodeString(e.GetDigest())
	switch {
	case err != nil || len(raw) != 32:
		return refuse(pb.Refusal_REFUSAL_INVALID, "give all 64 digits, as guard explain shows them", "%.80q is no digest", e.GetDigest())
	case t.cmd.GetBy().GetWhy() == "":
		return refuse(pb.Refusal_REFUSAL_INVALID, "say why with --reason", "an exception needs a reason")
	case e.GetUntilUnixNanos() <= t.last || e.GetUntilUnixNanos() > t.last+int64(MaxException):
		return refuse(pb.Refusal_REFUSAL_INVALID, "write 1m to 744h", "the exception does not end within 31 days, or has ended")
	}
	if n := len(e.GetGuards()); n > maxGuards {
		return refuse(pb.Refusal_REFUSAL_INVALID, "name each once, or none for all of them", "an exception from %d guardrails can't be kept", n)
	}
	for _, name := range e.GetGuards() {
		if t.guards[name] == nil {
			return NoGuard(name)
		}
	}
	return nil
}

// restoreGuards takes guardrails and exceptions from a snapshot.
func (v *View) restoreGuards(s *pb.State) error {
	for name, g := range s.GetGuards() {
		if g.GetName() != name {
			return fmt.Errorf("guardrail %q: its name is %q", name, g.GetName())
		}
	}
	for digest, e := range s.GetGuardExceptions() {
		if e.GetDigest() != digest {
			return fmt.Errorf("exception %q: its digest is %q", digest, e.GetDigest())
		}
	}
	v.guards, v.exceptions = s.GetGuards(), s.GetGuardExceptions()
	return nil
}
