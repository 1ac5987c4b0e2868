package experiments

import (
	"errors"

	"squall/experiments/schedule"
	pb "squall/proto/squall/v1"
)

// checkSchedule looks at when a run may start. Nothing here knows today.
func (d *decoder) checkSchedule(s *pb.Schedule) {
	if s == nil {
		return
	}
	_, err := schedule.New(s)
	wrong, isWrong := errors.AsType[*schedule.Error](err)
	if !isWrong || wrong.Field == "timezone" && s.GetTimezone() == "" { // missing is said elsewhere
		return
	}
	path := "schedule"
	if wrong.Field != "" {
		path = join(path, wrong.Field)
	}
	d.badPath(path, wrong.Error(), wrong.Fix)
}
