package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	pb "squall/proto/squall/v1"
)

// downtime is how long a killed server stays dead.
const downtime = 4 * time.Second

// decisions is how many decisions about a run have been committed: states,
// phases, tokens.
func decisions(r *pb.Run) int {
	n := len(r.GetEnteredUnixNanos()) + int(r.GetPhasesBegun())
	for _, s := range r.GetSteps() {
		n += len(s.GetTokenUnixNanos())
	}
	return n
}

// killLeaderWhen plays a run, and kills its leader as soon as its state says
// so. The killed server comes back.
func killLeaderWhen(t *testing.T, yes func(r *region, run *pb.Run) bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		run := r.run(short)
		var killed *control
		var back time.Time
		r.until("the end of the run", 5*time.Minute, func() bool {
			if l := r.leader(); killed == nil && l != nil && yes(r, l.server.State().Run(run)) {
				l.kill()
				killed, back = l, time.Now().Add(downtime)
			}
			if killed != nil && killed.server == nil && time.Now().After(back) {
				killed.start()
			}
			return r.done(run)
		})
		if killed == nil {
			t.Error("no leader was killed")
		}
		r.passes(run)
	})
}

// TestRunGoesOnWhenItsLeaderDiesAtADecision kills the leader right after each
// decision of a run was committed.
func TestRunGoesOnWhenItsLeaderDiesAtADecision(t *testing.T) {
	var all int
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		run := r.run(short)
		r.passes(run)
		all = decisions(r.view().Run(run))
	})
	for at := 1; at < all; at++ {
		t.Run(fmt.Sprint("decision ", at), func(t *testing.T) {
			killLeaderWhen(t, func(_ *region, run *pb.Run) bool { return decisions(run) >= at })
		})
	}
}

// TestRunGoesOnWhenItsLeaderDiesAtAnyMoment kills the leader at random moments.
func TestRunGoesOnWhenItsLeaderDiesAtAnyMoment(t *testing.T) {
	const length = 28 * time.Second
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	random := rand.New(rand.NewPCG(20180622, 1))
	for range rounds {
		after := time.Duration(random.Int64N(int64(length)))
		t.Run(after.Round(time.Millisecond).String(), func(t *testing.T) {
			var began time.Time
			killLeaderWhen(t, func(*region, *pb.Run) bool {
				if began.IsZero() {
					began = time.Now()
				}
				return time.Since(began) >= after
			})
		})
	}
}

// TestSilentLeaderIsNotWaitedFor: what a follower forwarded to a leader that is
// cut off goes to the next one as soon as there is one.
func TestSilentLeaderIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		time.Sleep(2 * time.Second) // all know what time it is, and can lead at once
		dead, follower := r.leader(), r.follower()
		dead.cutOff()
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, err := follower.server.Propose(ctx, &pb.Command{Id: "x", Kind: &pb.Command_Resume{Resume: &pb.Resume{Id: "none"}}})
		if took := time.Since(began); err != nil || took > 1500*time.Millisecond {
			t.Errorf("committed after %s: %v", took, err)
		}
		dead.rejoin()
	})
}

// TestRunOutlivesEveryLeader kills whoever leads, every six seconds.
func TestRunOutlivesEveryLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		r.outlives(r.run(short))
	})
}

// outlives demands that a run passes although every leader of it dies.
func (r *region) outlives(run string) {
	r.t.Helper()
	next, kills := time.Now(), 0
	var killed *control
	r.until("the end of the run", 5*time.Minute, func() bool {
		if l := r.leader(); l != nil && time.Now().After(next) {
			if killed != nil {
				killed.start()
			}
			l.kill()
			killed, next, kills = l, time.Now().Add(6*time.Second), kills+1
		}
		return r.done(run)
	})
	if kills < 4 {
		r.t.Errorf("only %d leaders were killed", kills)
	}
	r.passes(run)
}
