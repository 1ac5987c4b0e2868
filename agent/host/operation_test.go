package host

import (
	"testing"

	pb "squall/proto/squall/v1"
)

// TestEveryOperationIsWhole: each kind of the vocabulary has all that the agent
// asks of one, and nothing stands in for what is missing.
func TestEveryOperationIsWhole(t *testing.T) {
	arms := (&pb.Op{}).ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
	for i := range arms.Len() {
		name := arms.Get(i).Name()
		o := operations[name]
		if o == nil {
			t.Errorf("%s is in no file of this package", name)
			continue
		}
		if o.arm == nil || o.says == nil {
			t.Errorf("%s can't be armed, or not be said", name)
		}
		if tried := o.trial != nil || o.program != nil; tried != (o.ability != "") {
			t.Errorf("%s needs %q, and is tried: %t", name, o.ability, tried)
		}
		op := &pb.Op{}
		op.ProtoReflect().Set(arms.Get(i), op.ProtoReflect().NewField(arms.Get(i)))
		if silent := name == "nothing" || name == "kill_workloads" || name == "start_workloads"; !silent && o.says(op) == "" {
			t.Errorf("%s says nothing", name)
		}
	}
	if len(operations) != arms.Len() {
		t.Errorf("%d operations are known, and the vocabulary has %d", len(operations), arms.Len())
	}
}
