package sim

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"squall/proto/parts"
	pb "squall/proto/squall/v1"
	"squall/server/report"
)

// halt pulls the lever at a server, and says whether it was committed.
func (r *region) halt(server string) bool {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	res, err := r.user(server).Halt(ctx, &pb.HaltRequest{Id: "h", Reason: "smoke", WaitNanos: int64(time.Second)})
	if err != nil {
		r.t.Errorf("halt at %s: %v", server, err)
	}
	return res.GetCommitted()
}

// refuses demands that a server lets nobody start a run.
func (r *region) refuses(server string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	res, err := r.user(server).Run(ctx, &pb.RunRequest{Id: "early", File: "sim.yaml", Source: []byte(short)})
	if err != nil || len(res.GetRefused()) != 1 || res.GetRefused()[0].GetRefusal() != pb.Refusal_REFUSAL_HALTED {
		r.t.Errorf("a run under a halt at %s: %v, %v", server, res, err)
	}
}

// halted demands that a halt stands once there is a quorum: the run is over
// and did not pass, every host was told why, and nothing begins until a resume
// names the halt. Then everything works as before.
func (r *region) halted(run string, cause pb.RevertCause, verdict ...pb.Verdict) {
	r.t.Helper()
	r.until("the halt to be committed", 20*time.Second, func() bool { return r.view().Halt().GetEngaged() })
	r.ends(run, verdict...)
	for _, s := range report.Run(r.view(), run).GetSteps() {
		for _, h := range s.GetHosts() {
			if h.GetState() != pb.StepState_STEP_STATE_REVERTED || h.GetCause() != cause {
				r.t.Errorf("%s is %v by %v", h.GetHost(), h.GetState(), h.GetCause())
			}
		}
	}
	r.refuses("s2")
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	if _, err := r.user("s2").Resume(ctx, &pb.ResumeRequest{Id: "h"}); err != nil {
		r.t.Errorf("resume: %v", err)
	}
	for _, c := range r.servers {
		if st, err := parts.Ask[pb.Status](ctx, r.user(c.id).Status, &pb.StatusRequest{}); err != nil || st.GetHalt().GetEngaged() {
			r.t.Errorf("after the resume, %s tells of %v, %v", c.id, st.GetHalt(), err)
		}
	}
	time.Sleep(10 * time.Second) // hosts find the servers that have come back
	r.passes(r.run(short))
}

// TestHaltWithoutAQuorumEndsWhatItCan halts at the only server that is left:
// its hosts let go at once, and the halt stands when the quorum is back.
func TestHaltWithoutAQuorumEndsWhatItCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		run := r.run(long)
		r.holding(run)
		time.Sleep(2 * time.Second)
		dead := r.kill(0, 1)
		time.Sleep(2500 * time.Millisecond) // hosts have changed over
		if r.halt("s3") {
			t.Error("a halt without a quorum was committed")
		}
		r.calmWithin(0, r.struck())
		r.refuses("s3")
		r.revive(dead)
		r.halted(run, pb.RevertCause_REVERT_CAUSE_HALT, pb.Verdict_VERDICT_HALTED)
	})
}

// TestHaltReachesWhoComesLater halts at the only server that is left before
// hosts that had no stream there have found it.
func TestHaltReachesWhoComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		for _, m := range r.struck() {
			r.net.cut(m.name, "s3")
		}
		time.Sleep(10 * time.Second) // who was there changes over
		run := r.run(long)
		r.holding(run)
		dead := r.kill(0, 1)
		time.Sleep(1100 * time.Millisecond) // a killed server goes on for a second
		heard := make(chan bool, 1)
		go func() { heard <- r.halt("s3") }()
		synctest.Wait()
		for _, m := range r.struck() {
			r.net.heal(m.name, "s3")
		}
		r.calmWithin(lease/2, r.struck())
		if <-heard {
			t.Error("a halt without a quorum was committed")
		}
		r.revive(dead)
		r.halted(run, pb.RevertCause_REVERT_CAUSE_HALT, pb.Verdict_VERDICT_HALTED)
	})
}

// TestHaltIsCommittedAlthoughTheLeaderHasJustDied halts at a follower, at the
// instant at which the leader dies.
func TestHaltIsCommittedAlthoughTheLeaderHasJustDied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		run := r.run(long)
		r.holding(run)
		time.Sleep(5 * time.Second)
		lead := slices.Index(r.servers, r.leader())
		dead := r.kill(lead)
		heard := make(chan bool, 1)
		go func() { heard <- r.halt(r.servers[(lead+1)%3].id) }()
		r.calmWithin(time.Second, r.struck())
		if !<-heard {
			t.Error("the halt was not committed")
		}
		r.revive(dead)
		r.halted(run, pb.RevertCause_REVERT_CAUSE_HALT, pb.Verdict_VERDICT_HALTED)
	})
}
