package plan

import (
	"maps"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// Aimed is an experiment whose roles are the zones that they were aimed at.
func Aimed(e *pb.Experiment, aim map[string]*pb.ZoneRole) *pb.Experiment {
	if len(aim) == 0 {
		return e
	}
	e = proto.CloneOf(e)
	if e.Zones == nil {
		e.Zones = make(map[string]*pb.ZoneRole)
	}
	maps.Copy(e.Zones, aim)
	return e
}
