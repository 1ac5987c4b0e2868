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
