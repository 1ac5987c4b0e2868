package state

import (
	"time"

	pb "squall/proto/squall/v1"
)

// AcceptedTime is who has taken cluster time as it is, though it is off the
// servers' wall clocks; nil where nobody has, or where they agree again.
func (v *View) AcceptedTime() *pb.AcceptedTime { return v.accepted }

// acceptTime has the calendar go by cluster time that is so far off, or ends that
// where it is off no more.
func (t *change) acceptTime(c *pb.AcceptTime) *pb.Problem {
	switch off := c.GetWallOffNanos(); {
	case off != 0:
		t.accepted = &pb.AcceptedTime{WallOffNanos: off, By: t.cmd.GetBy(), AtUnixNanos: t.last}
	case t.accepted == nil:
		return refuse(pb.Refusal_REFUSAL_INVALID, "", "nobody has accepted cluster time as it is")
	default:
		t.accepted = nil
	}
	return nil
}

func timeAct(c *pb.AcceptTime) (act, object string) {
	if c.GetWallOffNanos() == 0 {
		return "time agrees", ""
	}
	return "accept time", time.Duration(c.GetWallOffNanos()).String()
}
