package experiments

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "squall/proto/squall/v1"
)

// FaultName is the dotted name of a fault, "power.off"; empty when none is set.
func FaultName(f *pb.Fault) string {
	m := f.ProtoReflect()
	arm := m.WhichOneof(faultKinds())
	if arm == nil {
		return ""
	}
	return arm.JSONName()
}

// FaultNames are the names of all kinds of fault, in the order of the proto.
func FaultNames() []string {
	arms := faultKinds().Fields()
	names := make([]string, arms.Len())
	for i := range names {
		names[i] = arms.Get(i).JSONName()
	}
	return names
}

// NewFault is an empty fault of the kind with that name, and whether there is one.
func NewFault(name string) (*pb.Fault, bool) {
	arms := faultKinds().Fields()
	for i := range arms.Len() {
		if arm := arms.Get(i); arm.JSONName() == name {
			f := &pb.Fault{}
			m := f.ProtoReflect()
			m.Set(arm, m.NewField(arm))
			return f, true
		}
	}
	return nil, false
}

func faultKinds() protoreflect.OneofDescriptor {
	return (&pb.Fault{}).ProtoReflect().Descriptor().Oneofs().ByName("kind")
}
