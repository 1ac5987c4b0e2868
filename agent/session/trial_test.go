package session

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"squall/proto/probe"
	pb "squall/proto/squall/v1"
)

// ask is a trial of probes with a timeout each.
func ask(id uint64, timeouts ...time.Duration) *pb.TryProbes {
	asked := &pb.TryProbes{Id: id}
	for _, d := range timeouts {
		asked.Probes = append(asked.Probes, &pb.PlannedProbe{Name: "p", Probe: &pb.Probe{Timeout: &pb.Span{Nanos: int64(d)}}})
	}
	return asked
}

// hangs is an attempt that gives up only when it must.
func hangs(ctx context.Context, _ *pb.PlannedProbe) probe.Reading {
	start := time.Now()
	<-ctx.Done()
	return probe.Reading{Duration: time.Since(start), Err: strings.Repeat("ä", longestError)}
}

// TestATrialIsOneBoundedAttempt: each within its own timeout, and none longer
// than a person waits, whatever the plan says.
func TestATrialIsOneBoundedAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := make(chan struct{}, 16)
		trials := newTrials(func(ctx context.Context, p *pb.PlannedProbe) probe.Reading {
			calls <- struct{}{}
			return hangs(ctx, p)
		})
		if refused := trials.begin(t.Context(), ask(7, time.Second, time.Hour)); refused != nil {
			t.Fatal(refused)
		}
		got := <-trials.made
		trials.work.Wait()
		if got.GetId() != 7 || len(calls) != 2 {
			t.Errorf("trial %d of %d attempts", got.GetId(), len(calls))
		}
		for i, want := range []time.Duration{time.Second, longestTry} {
			a := got.GetAttempts()[i]
			if time.Duration(a.GetDurationNanos()) != want || len(a.GetError()) > longestError || !strings.HasSuffix(a.GetError(), "ä") {
				t.Errorf("attempt %d took %v, %d bytes of error", i, time.Duration(a.GetDurationNanos()), len(a.GetError()))
			}
		}
	})
}

// TestPlansCanNotKeepAHostBusy: what is too much is answered at once, and room
// comes back.
func TestPlansCanNotKeepAHostBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trials := newTrials(hangs)
		for id := range uint64(maxTrials) {
			if refused := trials.begin(t.Context(), ask(id, time.Second)); refused != nil {
				t.Fatalf("trial %d is refused: %v", id, refused)
			}
		}
		refused := trials.begin(t.Context(), ask(99, time.Second, time.Second))
		if refused.GetId() != 99 || len(refused.GetAttempts()) != 2 || !refused.GetAttempts()[1].GetMissing() {
			t.Errorf("one too many gave %v", refused)
		}
		for range maxTrials {
			<-trials.made
		}
		if refused := trials.begin(t.Context(), ask(5, time.Second)); refused != nil {
			t.Errorf("there is no room again: %v", refused)
		}
		<-trials.made
		if refused := trials.begin(t.Context(), ask(1, make([]time.Duration, maxTried+1)...)); len(refused.GetAttempts()) != maxTried {
			t.Errorf("any number of probes is tried: %d", len(refused.GetAttempts()))
		}
	})
}

// TestATrialEndsWithItsSession: nobody is left to hear the answer.
func TestATrialEndsWithItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		trials := newTrials(hangs)
		trials.begin(ctx, ask(1, time.Hour))
		cancel()
		trials.work.Wait()
	})
}
