package sim

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"squall/proto/parts"
	pb "squall/proto/squall/v1"
)

// clusterTime is cluster time as a server tells it to people.
func (r *region) clusterTime(server string) (now time.Time, doubt time.Duration) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	st, err := parts.Ask[pb.Status](ctx, r.user(server).Status, &pb.StatusRequest{})
	if err != nil {
		r.t.Fatal(err)
	}
	return time.Unix(0, st.GetClusterUnixNanos()), time.Duration(st.GetUncertaintyNanos())
}

// astray is how far off the wall clocks cluster time is, as status says.
func (r *region) astray() time.Duration {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	st, err := parts.Ask[pb.Status](ctx, r.user("s2").Status, &pb.StatusRequest{})
	if err != nil {
		r.t.Fatal(err)
	}
	return time.Duration(st.GetWallOffNanos())
}

// TestClocksThatStepWithoutALeaderMoveNothing steps every wall clock by an hour
// or two, each another way, while there is no leader for minutes. Cluster time
// goes on as before, within its doubt, also on a server that has just come up,
// and a run passes.
func TestClocksThatStepWithoutALeaderMoveNothing(t *testing.T) {
	for name, restart := range map[string]bool{"all stay up": false, "one comes up anew and leads": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRegion(t, settings{})
				for _, c := range r.servers {
					r.until("all to know the time", 5*time.Second, func() bool {
						_, doubt := r.clusterTime(c.id)
						return doubt > 0 || c == r.leader()
					})
				}
				before, _ := r.clusterTime("s1")
				began := time.Now()
				for _, c := range r.servers {
					c.cutOff()
				}
				time.Sleep(3 * time.Minute)
				for i, step := range []time.Duration{time.Hour, -time.Hour, 2 * time.Hour} {
					r.servers[i].skew.Store(int64(step))
				}
				for _, c := range r.servers {
					c.rejoin()
				}
				if restart {
					r.revive(r.kill(0))
				}
				r.until("a leader", time.Minute, func() bool { return r.leader() != nil })
				now, doubt := r.clusterTime(r.leader().id)
				if off := (now.Sub(before) - time.Since(began)).Abs(); off > doubt || doubt > 50*time.Millisecond {
					t.Errorf("cluster time moved by %v with a doubt of %v", off, doubt)
				}
				r.waitReady()
				r.passes(r.run(short))
				if off := r.astray(); (off + time.Hour).Abs() > time.Minute {
					t.Errorf("status says that cluster time is %v off the wall clocks, which are an hour ahead", off)
				}
			})
		})
	}
}
