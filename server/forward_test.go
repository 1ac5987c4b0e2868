package server

import (
	"math"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "squall/proto/squall/v1"
)

// TestTryLastsAsLongAsItsCommandTakes to travel on a slow line.
func TestTryLastsAsLongAsItsCommandTakes(t *testing.T) {
	for size, least := range map[int]time.Duration{0: attemptTime, 5 << 20: attemptTime + 5*time.Second} {
		cmd := &pb.Command{Id: string(make([]byte, size))}
		if got := timeFor(cmd); got < least || got > least+time.Second {
			t.Errorf("%d bytes have %s, not %s", size, got, least)
		}
	}
}

// TestServerCanNotForgeWhatTheLeaderDecides: neither the time of a command, nor what
// becomes of runs and slots, nor what another server's archive has.
func TestServerCanNotForgeWhatTheLeaderDecides(t *testing.T) {
	r := newRegion(t)
	lead, member := r.leader(), r.follower()
	leader := pb.NewPeerServiceClient(r.dial(lead, member.cfg.Bundle))
	archived := func(server string) *pb.Command {
		return &pb.Command{Kind: &pb.Command_RecordArchived{RecordArchived: &pb.RecordArchived{Server: server, Servers: 3}}}
	}
	for name, c := range map[string]struct {
		cmd  *pb.Command
		want codes.Code
	}{
		"an instant of the future": {&pb.Command{AtUnixNanos: math.MaxInt64, Kind: &pb.Command_Halt{Halt: &pb.Halt{Id: "h"}}}, codes.OK},
		"an instant of a run":      {&pb.Command{Kind: &pb.Command_Fire{Fire: &pb.Fire{Run: "r", T0UnixNanos: 1}}}, codes.PermissionDenied},
		"a verdict":                {&pb.Command{Kind: &pb.Command_Finish{Finish: &pb.Finish{Run: "r"}}}, codes.PermissionDenied},
		"another epoch":            {&pb.Command{Kind: &pb.Command_RaiseEpoch{RaiseEpoch: &pb.RaiseEpoch{}}}, codes.PermissionDenied},
		"its own archive":          {archived(member.ID()), codes.OK},
		"another's archive":        {archived(lead.ID()), codes.PermissionDenied},
	} {
		c.cmd.Id = name
		if _, err := leader.Propose(within(t, enough), &pb.ProposeRequest{Command: c.cmd}); status.Code(err) != c.want {
			t.Errorf("%s is answered with %v", name, err)
		}
		if _, err := proposeLarge(within(t, enough), leader, c.cmd); status.Code(err) != c.want {
			t.Errorf("%s in parts is answered with %v", name, err)
		}
	}
	if now := lead.State().Now(); now.After(time.Now().Add(time.Hour)) {
		t.Errorf("it is %v for ever", now)
	}
	if n := lead.State().Epoch(); n != 1 {
		t.Errorf("the epoch is %d", n)
	}
}
