package sim

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"squall/agent/undo/undotest"
	pb "squall/proto/squall/v1"
	"squall/server/report"
)

// barred is what is told of a host on which nothing is injected.
func (r *region) barred(host string) *pb.BarredHost {
	for _, b := range report.Status(r.view()).GetBarred() {
		if b.GetHost() == host {
			return b
		}
	}
	return nil
}

// TestDamagedHostTakesFaultsAgainWhenSomebodyConfirms holds that a journal that
// lost something bars its host, and that a person far from it can lift that.
func TestDamagedHostTakesFaultsAgainWhenSomebodyConfirms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		r.waitReady()
		m := r.struck()[0]
		if err := undotest.Damage(m.journal); err != nil {
			t.Fatal(err)
		}
		m.dies()
		r.until("the damage is known", 10*time.Second, func() bool { return r.barred(m.name).GetDamage() != nil })
		user := r.user(r.leader().id)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		res, err := user.Run(ctx, &pb.RunRequest{Id: rand.Text(), File: "sim.yaml", Source: []byte(short)})
		if err != nil || len(res.GetRefused()) == 0 || !strings.Contains(res.GetRefused()[0].GetFix(), "squall confirm damage "+m.name) {
			t.Fatalf("a run on it: %v, %v", res, err)
		}
		if _, err := user.ConfirmDamage(ctx, &pb.ConfirmDamageRequest{Host: m.name, Id: "another"}); status.Code(err) == codes.OK {
			t.Error("damage that is not there was confirmed")
		}
		ok, err := user.ConfirmDamage(ctx, &pb.ConfirmDamageRequest{Host: m.name, Reason: "looked at it"})
		if err != nil || !ok.GetTaken() || ok.GetDamage().GetId() == "" {
			t.Fatalf("confirmed: %v, %v", ok, err)
		}
		if b := r.barred(m.name); b != nil {
			t.Errorf("it is barred still: %v", b)
		}
		run := r.run(short)
		r.until("the run ends", 2*time.Minute, func() bool { return r.done(run) })
		if v := r.view().Run(run).GetVerdict(); v != pb.Verdict_VERDICT_PASS {
			t.Errorf("the run after it: %v", v)
		}
		m.dies()
		time.Sleep(5 * time.Second)
		if b := r.barred(m.name); b != nil {
			t.Errorf("after a restart it is barred again: %v", b)
		}
	})
}
