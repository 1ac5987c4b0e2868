package host_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vishvananda/netlink"

	"squall/agent/host"
	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

func TestSilenceIsSeenAndLeavesNothing(t *testing.T) {
	hosttest.Require(t, "silence")
	pair := hosttest.NewPair(t)
	base := hosttest.NewCgroup(t)
	err := pair.A.Do(func() error {
		if err := netlink.RouteAdd(&netlink.Route{Gw: pair.B4.AsSlice()}); err != nil {
			return err
		}
		h, err := host.Open(&pb.HostConfig{Name: "h", Zone: "z"}, host.Options{Base: base})
		if err != nil {
			return err
		}
		defer h.Close()
		op := silence(h)
		do(t, h, op)
		do(t, h, op)
		found, err := h.Evidence(t.Context(), "squall/run/step")
		if err != nil {
			return err
		}
		for _, e := range found {
			t.Log(e.GetName(), e.GetHolds(), e.GetText())
			if !e.GetHolds() && !e.GetFact() {
				t.Errorf("%s doesn't hold", e.GetName())
			}
		}
		if !host.Spotless(h) {
			t.Error("at a glance, what this process holds stands out")
		}
		if left, err := h.Leftovers(t.Context(), []string{"squall/run/step"}); err != nil || len(left) > 0 {
			t.Errorf("what is held is called left over: %v, %v", left, err)
		}
		do(t, h, detach("squall/run/step/silence"))
		do(t, h, detach("squall/run/step/silence"))
		found, err = h.Clean(t.Context(), "squall/run/step", nil)
		if len(found) != 1 || !found[0].GetHolds() {
			t.Errorf("not clean: %v", found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSweepTakesNothingThatIsJustMade holds that what a fault attaches while a sweep
// looks around is not taken for nobody's.
func TestSweepTakesNothingThatIsJustMade(t *testing.T) {
	hosttest.Require(t, "silence")
	pair := hosttest.NewPair(t)
	base := hosttest.NewCgroup(t)
	err := pair.A.Do(func() error {
		h, err := host.Open(&pb.HostConfig{Name: "h", Zone: "z"}, host.Options{Base: base})
		if err != nil {
			return err
		}
		defer h.Close()
		var sweeps sync.WaitGroup
		defer sweeps.Wait()
		var enough atomic.Bool
		defer enough.Store(true)
		sweeps.Go(func() {
			_ = pair.A.Do(func() error {
				for !enough.Load() {
					if left, err := h.Leftovers(t.Context(), []string{"squall/run/step"}); err != nil || len(left) > 0 {
						t.Errorf("left %v, %v", left, err)
					}
				}
				return nil
			})
		})
		for range 30 {
			do(t, h, silence(h))
			found, err := h.Evidence(t.Context(), "squall/run/step")
			if err != nil || len(found) == 0 || found[0].GetName() == "ended" {
				t.Errorf("a sweep has taken it: %v, %v", found, err)
			}
			do(t, h, detach("squall/run/step/silence"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatNobodyOfOursHoldsIsFoundAndRemoved(t *testing.T) {
	hosttest.Require(t, "silence")
	pair := hosttest.NewPair(t)
	base := hosttest.NewCgroup(t)
	err := pair.A.Do(func() error {
		defer endOther(startOther(t, "orphaned silence"))
		h, err := host.Open(&pb.HostConfig{}, host.Options{Base: base})
		if err != nil {
			return err
		}
		defer h.Close()
		if host.Spotless(h) {
			t.Error("a silence of another process does not stand out")
		}
		found, err := h.Clean(t.Context(), "squall/run/step", nil)
		if err != nil || len(found) == 0 || found[0].GetHolds() {
			t.Errorf("a silence of another process was not seen: %v, %v", found, err)
		}
		if left, err := h.Leftovers(t.Context(), nil); err != nil || len(left) > 0 {
			t.Errorf("left %v, %v", left, err)
		}
		found, err = h.Clean(t.Context(), "squall/run/step", nil)
		if len(found) != 1 || !found[0].GetHolds() {
			t.Errorf("not clean: %v", found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
