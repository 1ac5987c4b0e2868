package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	pb "squall/proto/squall/v1"
	"squall/server/report"
	"squall/server/state"
)

const (
	// alarmTime is how long other servers have to say whom they told.
	alarmTime = time.Second
	// answerTime is kept back from a caller's deadline for the answer itself.
	answerTime = 250 * time.Millisecond
)

// Halt reverts everything, then commits: agents and peers are told before
// anybody is asked.
func (d *controlDoor) Halt(ctx context.Context, req *pb.HaltRequest) (*pb.HaltResponse, error) {
	latch := &pb.HaltLatch{Id: haltID(req.GetId()), Engaged: true, Reason: req.GetReason()}
	latch.Seal = d.seal(latch)
	d.fleet.Alarm(latch)
	runs := ids(d.machine.View().Active())
	heard := d.alarms.hear(&alarm{latch: latch, by: d.principal(ctx, req.GetReason())})
	d.calls.Go(func() { d.alarmPeers(latch) })
	until := time.Now().Add(time.Duration(req.GetWaitNanos()))
	committed := waitSettled(ctx, heard, leaderTime)
	if committed {
		more, err := d.haltedBy(ctx, heard)
		if err != nil {
			return nil, err
		}
		runs = union(runs, more)
		if lever := d.machine.View().Halt(); !lever.GetEngaged() {
			return nil, refusef(pb.Refusal_REFUSAL_INVALID, "pull the lever again under another id",
				"halt %q was let go of: hosts have reverted, and the lever is not engaged", latch.GetId())
		}
	}
	hosts := d.waitClean(ctx, until, runs)
	if committed = waitSettled(ctx, heard, 0); committed {
		d.waitRecorded(ctx, runs)
	}
	told, more := report.FitHosts(hosts)
	return &pb.HaltResponse{Committed: committed, Hosts: told, MoreHosts: more}, nil
}

// haltID is the id of a halt. One that can't be an id is replaced by another, the
// same for each repeat: nothing about a call's words may hold up a halt, and a
// latch that no commit records would stay on its hosts for ever.
func haltID(wanted string) string {
	switch {
	case wanted == "":
		return rand.Text()
	case !state.GoodName(wanted):
		sum := sha256.Sum256([]byte(wanted))
		return "halt-" + hex.EncodeToString(sum[:8])
	}
	return wanted
}

// haltedBy are the runs that a halt ended when it was committed: one may be done
// by the time that a server which lags behind knows of it. Before, such a server
// can't say which hosts are clean, and an empty list would pass for an all-clear.
func (s *Server) haltedBy(ctx context.Context, heard *alarm) ([]string, error) {
	if err := s.waitHalted(ctx, heard); err != nil {
		return nil, refusef(pb.Refusal_REFUSAL_NO_LEADER, "ask another server",
			"the halt is committed, and this server is too far behind to say what has become of it and which hosts are clean")
	}
	var runs []string
	view := s.machine.View()
	for _, r := range view.Runs() {
		ended := func(e *pb.Event) bool {
			return e.GetIndex() == heard.index && e.GetKind() == pb.EventKind_EVENT_KIND_HALT
		}
		if slices.ContainsFunc(view.Events(r.GetId(), heard.index-1), ended) {
			runs = append(runs, r.GetId())
		}
	}
	return runs, nil
}

// waitHalted waits until this server knows of a halt's commit. One that the log
// had before may have been let go of since: then it is all that was committed.
func (s *Server) waitHalted(ctx context.Context, heard *alarm) error {
	ctx, cancel := answerBy(ctx, time.Now().Add(leaderTime))
	defer cancel()
	if heard.repeated {
		_, err := s.read(ctx)
		return err
	}
	return s.consensus.WaitApplied(ctx, heard.index)
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// Resume lets go of the lever. Halts that were heard here are committed first,
// so that none engages it again afterwards.
func (d *controlDoor) Resume(ctx context.Context, req *pb.ResumeRequest) (*pb.ResumeResponse, error) {
	for _, heard := range d.alarms.all() {
		waitSettled(ctx, heard, leaderTime)
	}
	view, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	id := req.GetId()
	if id == "" {
		id = view.Halt().GetId()
	}
	outcome, err := d.propose(ctx, &pb.Command{
		Id: rand.Text(), By: d.principal(ctx, req.GetReason()),
		Kind: &pb.Command_Resume{Resume: &pb.Resume{Id: id}},
	})
	if err != nil {
		return nil, err
	}
	return &pb.ResumeResponse{Id: id, Index: outcome.GetIndex()}, nil
}

// Undo ends one run, or all, and waits for hosts to show that they are clean.
func (d *controlDoor) Undo(ctx context.Context, req *pb.UndoRequest) (*pb.UndoResponse, error) {
	until := time.Now().Add(time.Duration(req.GetWaitNanos()))
	runs, err := d.toUndo(ctx, req)
	if err != nil {
		return nil, err
	}
	resp := &pb.UndoResponse{}
	for _, run := range runs {
		ended, err := d.endRun(ctx, run, req.GetReason())
		switch {
		case err != nil:
			return nil, err
		case ended:
			resp.Runs = append(resp.Runs, run)
		default:
			resp.EndedBefore = append(resp.EndedBefore, run)
		}
	}
	resp.Hosts, resp.MoreHosts = report.FitHosts(d.waitClean(ctx, until, runs))
	d.waitRecorded(ctx, runs)
	return resp, nil
}

// toUndo are the runs that an undo is about. One that is known here and under way
// is not asked for first: the end that is proposed for it is the answer.
func (d *controlDoor) toUndo(ctx context.Context, req *pb.UndoRequest) ([]string, error) {
	if view := d.machine.View(); !req.GetAll() && !ending(view, req.GetRun()) {
		return []string{req.GetRun()}, nil
	}
	view, err := d.read(ctx)
	switch {
	case err != nil:
		return nil, err
	case req.GetAll():
		return ids(view.Active()), nil
	case view.Run(req.GetRun()) == nil && view.Archived(req.GetRun()) != nil:
		return nil, refusef(pb.Refusal_REFUSAL_UNKNOWN, "see what hosts have left with: squall status", "run %q is over and in the archive: there is nothing to undo", req.GetRun())
	case view.Run(req.GetRun()) == nil:
		return nil, unknownRun(req.GetRun())
	}
	return []string{req.GetRun()}, nil
}

// endRun ends a run's steps, and says whether that was for it to do: one that
// is ending already is left alone.
func (d *controlDoor) endRun(ctx context.Context, run, reason string) (ended bool, err error) {
	if ending(d.machine.View(), run) {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, leaderTime)
	defer cancel()
	outcome, err := d.Propose(ctx, &pb.Command{
		Id: rand.Text(), By: d.principal(ctx, reason),
		Kind: &pb.Command_EndRun{EndRun: &pb.EndRun{Run: run, Cause: pb.EndCause_END_CAUSE_UNDO, Detail: reason}},
	})
	if err != nil || outcome.GetRefused() == nil {
		return err == nil, err
	}
	// Somebody else was faster, as the leader knows: this server may lag behind.
	if err := d.consensus.WaitApplied(ctx, outcome.GetIndex()); err == nil && ending(d.machine.View(), run) {
		return false, nil
	}
	return false, refusal(outcome.GetRefused())
}

// ending tells whether a run that was known has nothing more to be ended.
func ending(view *state.View, run string) bool {
	r := view.Run(run)
	return r == nil || r.GetState() >= pb.RunState_RUN_STATE_REVERTING
}

// alarmPeers tells the other servers, and notes nothing: what their agents did
// comes back as reports.
func (s *Server) alarmPeers(latch *pb.HaltLatch) {
	s.peers.each(context.Background(), words, alarmTime, func(ctx context.Context, id string, peer pb.PeerServiceClient) {
		if _, err := peer.Alarm(ctx, &pb.AlarmRequest{Halt: latch}); err != nil {
			s.log.Warn("server not told of the halt", "to", id, "cause", err)
		}
	})
}

// waitClean waits until every host of the runs is shown clean, but no longer
// than the caller does, and says how each one is.
func (s *Server) waitClean(ctx context.Context, until time.Time, runs []string) []*pb.HostClean {
	ctx, cancel := answerBy(ctx, until)
	defer cancel()
	for {
		view := s.machine.View()
		told, more := s.fleet.Told()
		hosts := cleanHosts(view, runs, told)
		if !slices.ContainsFunc(hosts, func(c *pb.HostClean) bool { return !c.GetClean() }) {
			return hosts
		}
		select {
		case <-view.Stale():
		case <-more:
		case <-ctx.Done():
			return hosts
		}
	}
}

// waitRecorded waits until the ends that agents told here are committed: from
// then on any server lets in a run that takes the same hosts. Hosts are clean
// already, so it waits no longer than a leader needs.
func (s *Server) waitRecorded(ctx context.Context, runs []string) {
	ctx, cancel := answerBy(ctx, time.Now().Add(leaderTime))
	defer cancel()
	for {
		view := s.machine.View()
		told, _ := s.fleet.Told()
		if !slices.ContainsFunc(told, func(st *pb.StepStatus) bool { return endUnrecorded(view, runs, st) }) {
			return
		}
		select {
		case <-view.Stale():
		case <-ctx.Done():
			return
		}
	}
}

// endUnrecorded tells whether what an agent told is an end that is not committed.
func endUnrecorded(view *state.View, runs []string, told *pb.StepStatus) bool {
	known := view.Run(told.GetRun()).GetSteps()[told.GetStep()].GetHosts()[told.GetHost()]
	return slices.Contains(runs, told.GetRun()) && state.Ended(told) && !state.Ended(known)
}

// cleanHosts judges hosts by what is committed and by what their agents told
// this server: without a quorum, that is all there is.
func cleanHosts(view *state.View, runs []string, told []*pb.StepStatus) []*pb.HostClean {
	byHost := make(map[string]*pb.HostClean)
	var names []string
	for _, id := range runs {
		for _, c := range state.Clean(withTold(view.Run(id), told)) {
			known := byHost[c.GetHost()]
			if known == nil {
				byHost[c.GetHost()] = c
				names = append(names, c.GetHost())
				continue
			}
			known.Clean = known.GetClean() && c.GetClean()
			known.Unknown = known.GetUnknown() || c.GetUnknown()
			known.Residue = append(known.GetResidue(), c.GetResidue()...)
		}
	}
	slices.Sort(names)
	hosts := make([]*pb.HostClean, len(names))
	for i, name := range names {
		hosts[i] = byHost[name]
	}
	return hosts
}

// withTold is a run with the ends that agents told in the place of states that
// are not ends.
func withTold(r *pb.Run, told []*pb.StepStatus) *pb.Run {
	out := &pb.Run{Id: r.GetId(), Plan: r.GetPlan(), T0UnixNanos: r.GetT0UnixNanos(), Steps: make(map[string]*pb.StepHosts)}
	for id, step := range r.GetSteps() {
		out.Steps[id] = &pb.StepHosts{Hosts: make(map[string]*pb.StepStatus)}
		for host, st := range step.GetHosts() {
			out.Steps[id].Hosts[host] = st
		}
	}
	for _, st := range told {
		if st.GetRun() != r.GetId() || !state.Ended(st) {
			continue
		}
		if out.Steps[st.GetStep()] == nil {
			out.Steps[st.GetStep()] = &pb.StepHosts{Hosts: make(map[string]*pb.StepStatus)}
		}
		if !state.Ended(out.Steps[st.GetStep()].Hosts[st.GetHost()]) {
			out.Steps[st.GetStep()].Hosts[st.GetHost()] = st
		}
	}
	return out
}

// answerBy ends at an instant, or so long before the caller's deadline that an
// answer still arrives.
func answerBy(ctx context.Context, until time.Time) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok && deadline.Add(-answerTime).Before(until) {
		until = deadline.Add(-answerTime)
	}
	return context.WithDeadline(ctx, until)
}

// waitSettled waits for a halt's commit and tells whether there was one.
func waitSettled(ctx context.Context, heard *alarm, most time.Duration) bool {
	if heard == nil {
		return false
	}
	select {
	case <-heard.settled:
		return true
	default:
	}
	ctx, cancel := answerBy(ctx, time.Now().Add(most))
	defer cancel()
	select {
	case <-heard.settled:
		return true
	case <-ctx.Done():
		return false
	}
}

func ids(runs []*pb.Run) []string {
	var out []string
	for _, r := range runs {
		out = append(out, r.GetId())
	}
	return out
}
