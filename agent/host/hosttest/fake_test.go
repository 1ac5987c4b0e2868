package hosttest_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"squall/agent/host"
	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

func newFake() *hosttest.Fake {
	return hosttest.NewFake(&pb.HostConfig{Name: "h", Workloads: []*pb.Workload{
		{Name: "web", Start: []string{"web"}}, {Name: "db", Unit: "db.service"},
	}})
}

func gate(h host.Host, from, to time.Duration) *pb.Gate {
	return &pb.Gate{StartBootNanos: int64(h.Boot() + from), EndBootNanos: int64(h.Boot() + to)}
}

// powerOff is what a power cut does to a host, and its undo, newest first.
func powerOff(h host.Host) (do, undo []*pb.Op) {
	detach := func(tag string) *pb.Op { return &pb.Op{Kind: &pb.Op_Detach{Detach: &pb.Detach{}}, Tag: tag} }
	act := gate(h, time.Second, time.Minute)
	do = []*pb.Op{
		{Tag: "r/s/hold", Gate: act, Kind: &pb.Op_HoldDown{HoldDown: &pb.HoldDown{Cgroups: []string{host.WorkloadsFolder + "/web"}}}},
		{Tag: "r/s/silence", Gate: act, Kind: &pb.Op_Silence{Silence: &pb.Silence{}}},
		{Tag: "r/s/kill", Gate: act, Kind: &pb.Op_KillWorkloads{KillWorkloads: &pb.KillWorkloads{Workload: []string{"web"}}}},
	}
	undo = []*pb.Op{
		detach("r/s/kill"), detach("r/s/silence"), detach("r/s/hold"),
		{Kind: &pb.Op_StartWorkloads{StartWorkloads: &pb.StartWorkloads{Workload: []string{"web"}}}},
	}
	return do, undo
}

func TestDoAndUndoLeaveTheSameText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.Renew("r", f.Boot()+time.Hour)
		before := f.String()
		do, undo := powerOff(f)
		for crash := range len(do) + 1 {
			for _, op := range do[:crash] {
				if err := f.Do(t.Context(), op, nil); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // every undo is idempotent
				for _, op := range undo {
					if err := f.Do(t.Context(), op, nil); err != nil {
						t.Fatal(err)
					}
				}
			}
			if after := f.String(); after != before {
				t.Errorf("after %d operations and the undo:\n%s\nwant:\n%s", crash, after, before)
			}
		}
	})
}

func TestGatesFollowStartEndAndLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		do, _ := powerOff(f)
		if err := f.Do(t.Context(), do[1], nil); err != nil {
			t.Fatal(err)
		}
		acts := func(what string, want bool) {
			t.Helper()
			if got := slices.Contains(f.Acting(), "r/s/silence silence"); got != want {
				t.Errorf("%s: acts is %t", what, got)
			}
		}
		f.Renew("r", f.Boot()+10*time.Second)
		acts("before its start", false)
		time.Sleep(time.Second)
		acts("after its start", true)
		time.Sleep(9 * time.Second)
		acts("when the lease has run out", false)
		f.Renew("r", f.Boot()+time.Hour)
		acts("when it is renewed", true)
		time.Sleep(50 * time.Second)
		acts("at its end", false)
	})
}

func TestKillWaitsAndIsCalledOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		do, undo := powerOff(f)
		done := make(chan error)
		go func() { done <- f.Do(t.Context(), do[2], nil) }()
		time.Sleep(500 * time.Millisecond)
		if err := f.Do(t.Context(), undo[0], nil); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, context.Canceled) || !f.Runs("web") {
			t.Errorf("got %v, web runs: %t", err, f.Runs("web"))
		}
	})
}

func TestHeldDownWorkloadCannotStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.Renew("r", f.Boot()+time.Minute)
		do, undo := powerOff(f)
		for _, op := range do {
			if err := f.Do(t.Context(), op, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Do(t.Context(), undo[3], nil); err == nil || f.Runs("web") {
			t.Error("it was started while held down")
		}
		f.Crash() // the hold ends with its holder
		if err := f.Do(t.Context(), undo[3], nil); err != nil || !f.Runs("web") {
			t.Errorf("it can't be started after the crash: %v", err)
		}
	})
}

func TestFaultsOfTheFakeComeWhenAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		do, _ := powerOff(f)
		broken := errors.New("broken")
		f.FailOp(2, broken)
		f.HangOp(3)
		if err := f.Do(t.Context(), do[0], nil); err != nil {
			t.Fatal(err)
		}
		before := f.String()
		if err := f.Do(t.Context(), do[1], nil); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.Do(ctx, do[1], nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if f.String() != before {
			t.Error("a failed operation changed something")
		}
	})
}
