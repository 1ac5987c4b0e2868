package step

import (
	"strings"

	pb "squall/proto/squall/v1"
)

// stateWord is a state as people read it.
func stateWord(s pb.StepState) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "STEP_STATE_"))
}

// causeWord is a cause as people read it.
func causeWord(c pb.RevertCause) string {
	return strings.ToLower(strings.TrimPrefix(c.String(), "REVERT_CAUSE_"))
}

// mechanisms names the ability on which each fault stands.
func mechanism(f *pb.Fault) string {
	switch f.GetKind().(type) {
	case *pb.Fault_PowerOff:
		return "silence"
	case *pb.Fault_DnsFail:
		return "dns.drop"
	case *pb.Fault_NetDelay:
		return "delay.line"
	}
	return ""
}

// engineOf is what the host chose to carry a fault out with, as its doctor names it.
func engineOf(facts *pb.Facts, f *pb.Fault) string {
	for _, a := range facts.GetAbilities() {
		if a.GetName() == mechanism(f) {
			return a.GetDetail()
		}
	}
	return ""
}
