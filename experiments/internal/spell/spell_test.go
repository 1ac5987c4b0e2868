package spell

import (
	"testing"

	pb "squall/proto/squall/v1"
)

func TestSpelling(t *testing.T) {
	off := (&pb.Fault{}).ProtoReflect().Descriptor().Fields().ByName("power_off")
	if got := Key(off); got != "power.off" {
		t.Errorf("the key of power_off is %q", got)
	}
	if fd := ByKey((&pb.Step{}).ProtoReflect().Descriptor(), "fault"); fd != nil {
		t.Error("an inline field has a key")
	}
	for e, want := range map[string]string{
		Enum(pb.PowerMode_POWER_MODE_SILENT): "silent",
		Enum(pb.PowerMode(99)):               "",
	} {
		if e != want {
			t.Errorf("spelt %q, want %q", e, want)
		}
	}
}
