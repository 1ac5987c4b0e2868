package experiments

import (
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

// adHocTarget is the name of an ad hoc experiment's one target.
const adHocTarget = "it"

// AdHoc is the experiment of one command: the fault on the target for that
// long, in one phase, at real speed. The step's other settings (spread, ramp,
// lost_contact …) are kept; it may be nil. The arguments are not changed.
func AdHoc(fault *pb.Fault, step *pb.Step, target *pb.Target, length time.Duration) *pb.Experiment {
	s := &pb.Step{}
	if step != nil {
		s = proto.CloneOf(step)
	}
	s.Target, s.Fault = adHocTarget, proto.CloneOf(fault)
	s.For, s.Until = &pb.Span{Nanos: length.Nanoseconds()}, nil
	return &pb.Experiment{
		Version:  1,
		Name:     "ad-hoc-" + strings.ReplaceAll(FaultName(fault), ".", "-"),
		Title:    FaultName(fault) + " for " + quantity.FormatSpan(length.Nanoseconds()),
		Targets:  map[string]*pb.Target{s.Target: proto.CloneOf(target)},
		Timeline: []*pb.Phase{{At: afterOrigin(0), Phase: "hold", Faults: []*pb.Step{s}}},
	}
}

func afterOrigin(nanos int64) *pb.Instant {
	return &pb.Instant{Of: &pb.Instant_AfterOrigin{AfterOrigin: nanos}}
}
