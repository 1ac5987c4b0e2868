package sim

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "squall/proto/squall/v1"
)

// resume lets go of a halt.
func (r *region) resume(id string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	if _, err := r.user(r.leader().id).Resume(ctx, &pb.ResumeRequest{Id: id}); err != nil {
		r.t.Fatalf("resume %s: %v", id, err)
	}
}

// pullAndLetGo halts and resumes so many times, each time under another id.
func (r *region) pullAndLetGo(times int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	for i := range times {
		id := fmt.Sprint("other-", i)
		for _, cmd := range []*pb.Command{
			{Id: "pull/" + id, Kind: &pb.Command_Halt{Halt: &pb.Halt{Id: id}}},
			{Id: "let-go/" + id, Kind: &pb.Command_Resume{Resume: &pb.Resume{Id: id}}},
		} {
			if o, err := r.leader().server.Propose(ctx, cmd); err != nil || o.GetRefused() != nil {
				r.t.Fatalf("%s: %v, %v", cmd.GetId(), o, err)
			}
		}
	}
}

// TestRepeatOfAHaltThatWasLetGoOfHoldsUpNothing pulls one a second time: hosts
// revert at once, the caller is told, and the next run passes.
func TestRepeatOfAHaltThatWasLetGoOfHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		r.halt("s1")
		r.resume("h")
		time.Sleep(3 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if res, err := r.user("s2").Halt(ctx, &pb.HaltRequest{Id: "h"}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("the repeat answers %v, %v", res, err)
		}
		time.Sleep(3 * time.Second)
		r.passes(r.run(short))
	})
}

// TestHostThatWasAwayForManyHaltsIsLetGoOf has one latch a halt, and come back
// when more others were pulled and let go of than a lever names.
func TestHostThatWasAwayForManyHaltsIsLetGoOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		r.halt("s1")
		r.darken(r.struck()[0])
		time.Sleep(10 * time.Second)
		r.resume("h")
		r.pullAndLetGo(70)
		r.heal(r.struck()[0])
		r.waitReady()
		time.Sleep(10 * time.Second)
		r.passes(r.run(short))
	})
}

// TestRepeatedHaltThroughALaggingServerIsWhatTheLogSays pulls a halt again that was
// let go of, on a server that has heard of the halt alone: it says what has become
// of it, or that it can't tell, but never that the lever is engaged.
func TestRepeatedHaltThroughALaggingServerIsWhatTheLogSays(t *testing.T) {
	for lag, answer := range map[time.Duration]string{time.Second: "was let go of", time.Minute: "too far behind"} {
		t.Run(lag.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRegion(t, settings{})
				behind := r.follower()
				r.halt(behind.id)
				behind.lag.Store(int64(lag))
				r.resume("h")
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if !behind.server.State().Halt().GetEngaged() {
					t.Fatal("it has heard of the resume")
				}
				res, err := r.user(behind.id).Halt(ctx, &pb.HaltRequest{Id: "h"})
				if err == nil || !strings.Contains(err.Error(), answer) {
					t.Errorf("the repeat answers %v, %v", res, err)
				}
				behind.lag.Store(0)
			})
		})
	}
}
