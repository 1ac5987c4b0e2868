package experiments

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/experiments/fault"
	pb "squall/proto/squall/v1"
)

// FaultName is the dotted name of a fault, "power.off"; empty when none is set.
func FaultName(f *pb.Fault) string { return fault.Name(f) }

// FaultNames are the names of the kinds of fault that this build can inject,
// in the order of the proto.
func FaultNames() []string { return fault.Names() }

// NewFault is an empty fault of the kind with that name, and whether the
// language has one.
func NewFault(name string) (*pb.Fault, bool) { return fault.New(name) }

func faultKinds() protoreflect.OneofDescriptor { return fault.Arms() }
