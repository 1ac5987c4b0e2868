package sim

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pb "squall/proto/squall/v1"
)

// keep has the control plane keep a run's file with a schedule.
func (r *region) keep(name, source, schedule string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	res, err := r.user("s1").PutSchedule(ctx, &pb.PutScheduleRequest{Name: name, File: name + ".yaml", Source: []byte(source + "schedule: " + schedule + "\n")})
	if err != nil || len(res.GetRefused()) > 0 {
		r.t.Fatalf("put schedule: %v, %v", err, res.GetRefused())
	}
}

// slots are what became of a schedule's slots.
func (r *region) slots(name string) []*pb.SlotRecord { return r.view().Schedule(name).GetHistory() }

func (r *region) skewAll(by time.Duration) {
	for _, c := range r.servers {
		c.skew.Store(int64(by))
	}
}

// TestNoSlotBeginsWhileTheClockIsInDoubt: it waits, which is on record, and is
// dealt with when clocks are right again.
func TestNoSlotBeginsWhileTheClockIsInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		r.waitReady()
		r.keep("drill", short, "{ every: 10m, timezone: UTC }")
		r.skewAll(-time.Minute)
		r.until("a slot that waits", 11*time.Minute, func() bool { return r.view().Schedule("drill").GetHeld() != nil })
		held := r.view().Schedule("drill").GetHeld()
		if !strings.Contains(held.GetWhy(), " off the servers' wall clocks") {
			t.Errorf("it waits because %s", held.GetWhy())
		}
		time.Sleep(30 * time.Second)
		if n := len(r.slots("drill")); n != 0 {
			t.Fatalf("%d slots were dealt with", n)
		}
		r.skewAll(0)
		r.until("its run", 10*time.Second, func() bool { return len(r.slots("drill")) == 1 })
		if rec := r.slots("drill")[0]; rec.GetOutcome() != pb.SlotOutcome_SLOT_OUTCOME_BEGUN {
			t.Errorf("it became %v", rec)
		} else {
			r.passes(rec.GetRun())
		}
		r.skewAll(time.Minute)
		r.until("the next one waits", 11*time.Minute, func() bool { return r.view().Schedule("drill").GetHeld() != nil })
		time.Sleep(2 * time.Minute)
		r.skewAll(0)
		r.until("it is dealt with", 10*time.Second, func() bool { return len(r.slots("drill")) == 2 })
		if rec := r.slots("drill")[1]; rec.GetOutcome() != pb.SlotOutcome_SLOT_OUTCOME_MISSED || !strings.HasPrefix(rec.GetWhy(), "cluster time was in doubt: ") {
			t.Errorf("it became %v", rec)
		}
	})
}

// TestLeaderThatDiesAtASlotBeginsItOnce within two seconds, by the next one.
func TestLeaderThatDiesAtASlotBeginsItOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		r.waitReady()
		r.keep("drill", short, "{ every: 10m, timezone: UTC }")
		now, _ := r.clusterTime(r.leader().id)
		slot := now.Truncate(10 * time.Minute).Add(10 * time.Minute)
		time.Sleep(slot.Sub(now) - 20*time.Millisecond)
		for i, c := range r.servers {
			if c == r.leader() {
				r.kill(i)
				break
			}
		}
		r.until("a leader and its run", 10*time.Second, func() bool { return r.leader() != nil && len(r.slots("drill")) > 0 })
		rec := r.slots("drill")[0]
		late := time.Unix(0, rec.GetAtUnixNanos()).Sub(slot)
		if rec.GetOutcome() != pb.SlotOutcome_SLOT_OUTCOME_BEGUN || late > 2*time.Second {
			t.Errorf("%s late it became %v", late, rec)
		}
		t.Logf("the slot began %s late", late)
		r.until("the end", time.Minute, func() bool { return r.done(rec.GetRun()) })
		if n := len(r.view().Runs()); n != 1 {
			t.Errorf("%d runs", n)
		}
	})
}

// accept has somebody take cluster time as it is, through a server that need not lead.
func (r *region) accept(server, why string) (*pb.AcceptTimeResponse, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return r.user(server).AcceptTime(ctx, &pb.AcceptTimeRequest{Why: why})
}

// hindered is what hinders the next slot, as a server says.
func (r *region) hindered(server, name string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	next, err := r.user(server).NextSlots(ctx, &pb.NextSlotsRequest{Name: name, Count: 1})
	if err != nil || len(next.GetSlots()) != 1 {
		r.t.Fatalf("next slots: %v, %v", err, next)
	}
	return strings.Join(next.GetSlots()[0].GetHinderedBy(), "; ")
}

// TestSlotsBeginByTimeThatIsAccepted through any server, with a reason, and only
// where there is a doubt. More than was accepted is in doubt again; what was
// accepted ends when clocks are right.
func TestSlotsBeginByTimeThatIsAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		r.waitReady()
		r.keep("drill", short, "{ every: 10m, timezone: UTC }")
		for _, c := range r.servers {
			r.until("all clocks are heard of on "+c.id, 10*time.Second, func() bool { return r.hindered(c.id, "drill") == "" })
			if _, err := r.accept(c.id, "all is well"); err == nil || !strings.Contains(err.Error(), "cluster time is not in doubt: it is 0s off") {
				t.Errorf("%s lets time be accepted that is in no doubt: %v", c.id, err)
			}
		}
		r.skewAll(-time.Minute)
		const doubt = "cluster time is in doubt: it is 1m0s off the servers' wall clocks"
		for _, c := range r.servers {
			r.until("a doubt on "+c.id, 10*time.Second, func() bool { return r.hindered(c.id, "drill") == doubt })
		}
		r.until("a slot that waits", 11*time.Minute, func() bool { return r.view().Schedule("drill").GetHeld() != nil })
		if _, err := r.accept("s1", ""); err == nil || !strings.Contains(err.Error(), "there is no reason given") {
			t.Errorf("it is accepted without a reason: %v", err)
		}
		var follower string
		for _, c := range r.servers {
			if c != r.leader() {
				follower = c.id
			}
		}
		res, err := r.accept(follower, "the time servers are down")
		if off := time.Duration(res.GetWallOffNanos()); err != nil || off.Round(time.Second) != time.Minute {
			t.Fatalf("accepted is %s, %v", off, err)
		}
		r.until("its run", 10*time.Second, func() bool { return len(r.slots("drill")) == 1 })
		if rec := r.slots("drill")[0]; rec.GetOutcome() != pb.SlotOutcome_SLOT_OUTCOME_BEGUN {
			t.Errorf("it became %v", rec)
		}
		if _, err := r.accept(follower, "again"); err == nil || !strings.Contains(err.Error(), "already, by ada: the time servers are down") {
			t.Errorf("it is accepted twice: %v", err)
		}
		r.skewAll(-2 * time.Minute)
		r.until("doubt again", 10*time.Second, func() bool { return strings.Contains(r.hindered(follower, "drill"), " was accepted") })
		r.skewAll(0)
		r.until("what was accepted ends", 10*time.Second, func() bool { return r.view().AcceptedTime() == nil })
		if why := r.hindered(follower, "drill"); why != "" {
			t.Errorf("the next slot is hindered by %s", why)
		}
	})
}
