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
