package step

import (
	"context"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/agent/fault"
	kind "squall/experiments/fault"
	pb "squall/proto/squall/v1"
)

// startedAt is when the harm began: at the planned start, or, armed late, when
// arming was done. It is inside the programs, so no thread has to be there.
func (s *step) startedAt() time.Duration {
	known, ok := s.e.runner.Step(s.key.run, s.key.step)
	if !ok {
		return s.e.host.Boot()
	}
	at := time.Duration(known.Intent.GetStartBootNanos())
	for _, r := range known.Marks {
		if r.GetMark().GetState() == pb.StepState_STEP_STATE_ARMED {
			at = max(at, time.Duration(r.GetMark().GetActualBootNanos()))
		}
	}
	return at
}

// mark records that the step has moved on, and when it should have.
func (s *step) mark(state pb.StepState, actual time.Duration) bool {
	s.e.mu.Lock()
	planned := s.start
	if state == pb.StepState_STEP_STATE_RETURNING {
		planned = s.end
	}
	s.e.mu.Unlock()
	return s.record(&pb.Mark{State: state, PlannedBootNanos: int64(planned), ActualBootNanos: int64(actual)})
}

// record writes a mark and shows it. A journal that can't be written ends the
// step: what is not on the record must not go on.
func (s *step) record(m *pb.Mark) bool {
	m.Run, m.Step = s.key.run, s.key.step
	if err := s.e.runner.Mark(m); err != nil {
		s.e.log.Error("mark", "run", m.Run, "step", m.Step, "state", m.State, "err", err)
		s.change(func() { s.drop(pb.RevertCause_REVERT_CAUSE_CRASH) })
	}
	s.e.log.Info("step "+stateWord(m.State), "run", m.Run, "step", m.Step)
	s.change(func() { s.status.State = m.State })
	return true
}

// reading is a look at the mechanism that is under way. It may take as long as
// a lookup that nobody answers, and the step must be able to end meanwhile.
type reading struct {
	stop context.CancelFunc
	// done is closed when seen and ok are set.
	done chan struct{}
	seen []*pb.Evidence
	ok   bool
}

// watch reads the mechanism while the step is held.
func (s *step) watch(ctx context.Context) {
	s.notice()
	state := s.state()
	if state != pb.StepState_STEP_STATE_HELD && state != pb.StepState_STEP_STATE_RETURNING {
		return
	}
	now := s.e.host.Boot()
	if s.reading != nil || s.evidenced != 0 && now-s.evidenced < evidenceEvery {
		return
	}
	s.evidenced = now
	looking, stop := context.WithCancel(ctx)
	r := &reading{stop: stop, done: make(chan struct{})}
	s.reading = r
	s.e.group.Go(func() {
		defer s.poke()
		defer close(r.done)
		r.seen, r.ok = s.readEvidence(looking)
	})
}

// notice takes in a reading that has come to its end.
func (s *step) notice() {
	if s.reading == nil {
		return
	}
	select {
	case <-s.reading.done:
	default:
		return
	}
	r := s.reading
	s.reading = nil
	r.stop()
	if !r.ok {
		return
	}
	s.seen = r.seen
	if !sameFindings(s.told, s.seen) {
		s.tellSeen()
	}
}

// stopReading ends a reading before its time: what it would have seen is no
// longer there.
func (s *step) stopReading() {
	s.notice()
	if s.reading == nil {
		return
	}
	s.reading.stop()
	<-s.reading.done
	s.reading = nil
}

// tellSeen shows the newest reading. Counters move each second; what they show
// does not, and only that is news for everybody.
func (s *step) tellSeen() {
	s.told = s.seen
	s.change(func() { s.status.Evidence = s.seen })
}

func sameFindings(a, b []*pb.Evidence) bool {
	return slices.EqualFunc(a, b, func(x, y *pb.Evidence) bool {
		return x.GetName() == y.GetName() && x.GetHolds() == y.GetHolds()
	})
}

// readEvidence looks at what is seen during the step.
func (s *step) readEvidence(ctx context.Context) ([]*pb.Evidence, bool) {
	seen, err := s.e.host.Evidence(ctx, fault.Tag(s.key.run, s.key.step), false)
	if err != nil {
		s.e.log.Warn("read evidence", "run", s.key.run, "step", s.key.step, "err", err)
		return nil, false
	}
	return seen, true
}

// revert undoes the step, shows that it is clean, and tries again for a while
// where it is not: what holds on may let go.
func (s *step) revert(ctx context.Context, cause pb.RevertCause) {
	s.stopReading()
	for range revertTries {
		m, after, err := s.e.runner.Revert(ctx, s.key.run, s.key.step, cause)
		if err != nil {
			s.e.log.Error("record revert", "run", s.key.run, "step", s.key.step, "err", err)
		}
		s.showReverted(m, after)
		if len(m.GetResidue()) == 0 {
			break
		}
		s.nap(ctx, s.e.host.Boot()+retryRevert)
		if ctx.Err() != nil {
			break
		}
	}
	s.watchReady(ctx)
}

func (s *step) showReverted(m *pb.Mark, after []*pb.Evidence) {
	s.e.log.Info("step reverted", "run", s.key.run, "step", s.key.step, "cause", causeWord(m.GetCause()),
		"residue", m.GetResidue())
	s.change(func() {
		s.status.State, s.status.Cause = m.GetState(), m.GetCause()
		s.status.Residue, s.status.Drift = m.GetResidue(), m.GetDrift()
		s.status.Evidence = append(slices.Clone(s.seen), after...)
	})
}

// watchReady waits until the workloads run again, and so gives the boot token
// back. Getting ready is recovery, not revert: it holds nothing up.
func (s *step) watchReady(ctx context.Context) {
	task := s.current()
	limit := time.Duration(task.GetBootLimitNanos())
	if kind.WayBack(task.GetFault()) == nil {
		return
	}
	for until := s.e.host.Boot() + limit; ctx.Err() == nil && s.e.host.Boot() < until; {
		if s.allRun(ctx, task.GetWorkload()) {
			break
		}
		s.nap(ctx, s.e.host.Boot()+readyEvery)
	}
	if ctx.Err() == nil {
		s.change(func() { s.status.ReadyAgain = true })
	}
}

// readyEvery is how often a booting workload is looked at.
const readyEvery = 250 * time.Millisecond

// allRun says that every workload of the step has a process.
func (s *step) allRun(ctx context.Context, workloads []string) bool {
	running, err := s.e.host.Running(ctx)
	return err == nil && Alive(running, workloads)
}

// Alive says that the named workloads, or all of the host, run.
func Alive(running map[string]bool, names []string) bool {
	if len(names) == 0 {
		names = slices.Collect(maps.Keys(running))
	}
	return !slices.ContainsFunc(names, func(name string) bool { return !running[name] })
}

// Undo reverts the steps of a run, or all when run is empty, and waits until
// they are. It returns them as they are then.
func (e *Engine) Undo(ctx context.Context, run string, cause pb.RevertCause) []*pb.StepStatus {
	e.mu.Lock()
	var dropped []*step
	for k, s := range e.steps {
		if (run == "" || k.run == run) && !s.over() {
			s.drop(cause)
			dropped = append(dropped, s)
		}
	}
	e.mu.Unlock()
	return e.await(ctx, dropped, func(s *step) bool { return s.over() })
}

// await polls steps until all of them answer yes or ctx ends. It looks at most
// every few milliseconds: people wait for it.
func (e *Engine) await(ctx context.Context, steps []*step, yes func(*step) bool) []*pb.StepStatus {
	for {
		e.mu.Lock()
		ready := !slices.ContainsFunc(steps, func(s *step) bool { return !yes(s) })
		var all []*pb.StepStatus
		for _, s := range steps {
			all = append(all, proto.CloneOf(s.status))
		}
		e.mu.Unlock()
		if ready || ctx.Err() != nil {
			return all
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}
