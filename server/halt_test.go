package server

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "squall/proto/squall/v1"
)

func TestHaltStopsEverythingAndRefusesUntilResume(t *testing.T) {
	r := newRegion(t)
	agents := r.hosts()
	user := r.user(r.follower())
	run := r.running(user, agents)
	halt, err := user.Halt(within(t, enough), &pb.HaltRequest{Id: "h1", Reason: "drill", WaitNanos: int64(enough / 2)})
	if err != nil || !halt.GetCommitted() {
		t.Fatalf("halt: %v, %v", halt, err)
	}
	if len(halt.GetHosts()) != 2 || !halt.GetHosts()[0].GetClean() || !halt.GetHosts()[1].GetClean() {
		t.Errorf("hosts after the halt: %v", halt.GetHosts())
	}
	refused, err := user.Run(within(t, enough), &pb.RunRequest{Id: "two", Source: source("2s")})
	if err != nil || refused.GetRefused()[0].GetRefusal() != pb.Refusal_REFUSAL_HALTED {
		t.Errorf("a run under halt: %v, %v", refused, err)
	}
	if _, err := user.Resume(within(t, enough), &pb.ResumeRequest{Id: "other"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("resume of another halt: %v", err)
	}
	if _, err := user.Resume(within(t, enough), &pb.ResumeRequest{Id: "h1"}); err != nil {
		t.Errorf("resume: %v", err)
	}
	r.wait("the run's end", func() bool { return r.leader().State().Run(run).GetVerdict() == pb.Verdict_VERDICT_HALTED })
}

// TestHaltUnderAnyIdPullsTheLeverOrSaysSo pulls it under an id that can't be one,
// twice, and under one that was let go of.
func TestHaltUnderAnyIdPullsTheLeverOrSaysSo(t *testing.T) {
	r := newRegion(t)
	u := r.follower()
	user := r.user(u)
	long := strings.Repeat("h", 300) + "\n"
	for range 2 {
		halt, err := user.Halt(within(t, enough), &pb.HaltRequest{Id: long})
		if lever := u.State().Halt(); err != nil || !halt.GetCommitted() || !lever.GetEngaged() || len(lever.GetAlso()) > 0 {
			t.Fatalf("halt under a long id: %v, %v; the lever is %v", halt, err, lever)
		}
	}
	if _, err := user.Resume(within(t, enough), &pb.ResumeRequest{}); err != nil {
		t.Fatal(err)
	}
	r.wait("word of the resume", func() bool { return !u.State().Halt().GetEngaged() })
	if halt, err := user.Halt(within(t, enough), &pb.HaltRequest{Id: long}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a halt that was let go of is pulled again: %v, %v; the lever is %v", halt, err, u.State().Halt())
	}
}

func TestHaltWithoutAQuorumRevertsAndSaysSo(t *testing.T) {
	r := newRegion(t)
	agents := r.hosts() // all on the server that will be alone
	alone := r.servers[0]
	user := r.user(alone)
	r.running(user, agents)
	r.kill(r.servers[1])
	r.kill(r.servers[2])
	halt, err := user.Halt(within(t, enough), &pb.HaltRequest{Id: "h1", WaitNanos: int64(2 * time.Second)})
	if err != nil || halt.GetCommitted() {
		t.Fatalf("halt without a quorum: %v, %v", halt, err)
	}
	for _, c := range halt.GetHosts() {
		if !c.GetClean() {
			t.Errorf("%s told that it reverted, and is %v", c.GetHost(), c)
		}
	}
	refused, err := user.Run(within(t, enough), &pb.RunRequest{Id: "two", Source: source("2s")})
	if err != nil || refused.GetRefused()[0].GetRefusal() != pb.Refusal_REFUSAL_HALTED {
		t.Errorf("a run after a halt that was heard: %v, %v", refused, err)
	}
	r.start(r.servers[1])
	r.wait("the halt's commit", func() bool { return alone.State().Halt().GetId() == "h1" })
}
