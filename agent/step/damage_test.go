package step

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"squall/agent/undo/undotest"
	pb "squall/proto/squall/v1"
)

// damaged lets the engine begin anew on a journal of which part can't be read.
func (r *rig) damaged() {
	r.t.Helper()
	r.end()
	if err := undotest.Damage(r.dir); err != nil {
		r.t.Fatal(err)
	}
	r.begin()
}

// confirmed sends an order that says which damage somebody has taken note of.
func (r *rig) confirmed(id string, tasks ...*pb.Task) {
	r.t.Helper()
	r.index++
	if err := r.engine.Order(&pb.Order{Epoch: 1, Index: r.index, Tasks: tasks, ConfirmedDamage: id}); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

// TestDamagedHostRefusesFaultsUntilAnOrderConfirms holds that a host whose
// journal may have lost what ran there takes nothing, says why and what to do,
// and takes faults again by the word of the servers alone.
func TestDamagedHostRefusesFaultsUntilAnOrderConfirms(t *testing.T) {
	bubble(t, func(r *rig) {
		r.damaged()
		d := r.engine.Damage()
		if d.GetId() == "" || len(d.GetWhat()) == 0 || d.GetSinceUnixNanos() == 0 {
			t.Fatalf("it says of the damage: %v", d)
		}
		r.order(r.task(2*time.Second, time.Minute))
		r.pass(4 * time.Second)
		r.want(refusedS, none)
		r.wantDark(false)
		p := r.status().GetRefused()
		if !strings.Contains(p.GetMessage(), d.GetWhat()[0]) || !strings.Contains(p.GetFix(), "squall confirm damage web-a1") {
			t.Errorf("it says: %v", p)
		}
		r.confirmed("another")
		if r.engine.Damage() == nil {
			t.Error("the word about another damage confirmed this one")
		}
		r.confirmed(d.GetId())
		if now := r.engine.Damage(); now != nil {
			t.Errorf("it was confirmed, and stands: %v", now)
		}
		r.pass(time.Second)
		later := r.task(2*time.Second, time.Minute)
		later.Run = "run-2"
		r.confirmed(d.GetId(), later)
		r.pass(4 * time.Second)
		r.wantDark(true)
		r.end()
		r.begin()
		if now := r.engine.Damage(); now != nil {
			t.Errorf("after a restart it stands again: %v", now)
		}
	})
}

// TestDamageIsConfirmedOnTheHost holds that a host with every server gone needs
// none of them.
func TestDamageIsConfirmedOnTheHost(t *testing.T) {
	bubble(t, func(r *rig) {
		r.damaged()
		if err := r.engine.Confirm(); err != nil || r.engine.Damage() != nil {
			t.Fatalf("confirmed: %v; %v", err, r.engine.Damage())
		}
		r.order(r.task(2*time.Second, time.Minute))
		r.pass(4 * time.Second)
		r.wantDark(true)
	})
}

// TestUnrecordedIsTold holds that whoever asks hears what the disk lacks.
func TestUnrecordedIsTold(t *testing.T) {
	bubble(t, func(r *rig) {
		heal := r.disk.hangs()
		defer heal()
		if err := r.engine.Halt(&pb.HaltLatch{Id: "h", Engaged: true, Local: true}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if lines, err := r.engine.Unrecorded(context.Background()); len(lines) != 1 || lines[0] != "halt h" || err != nil {
			t.Errorf("unrecorded: %q, %v", lines, err)
		}
		heal()
		r.silent(time.Second)
		if lines, _ := r.engine.Unrecorded(context.Background()); len(lines) > 0 {
			t.Errorf("with the disk well: %q", lines)
		}
	})
}
