package schedule

import (
	"time"

	pb "squall/proto/squall/v1"
)

// maxUndone is how many slots Undone tells at the most.
const maxUndone = 10_000

// Undone are the names of a schedule's slots that clocks on the wall have come to
// and that it has not dealt with, in order: those that wait for their jitter, or
// for somebody to deal with them. There are none where it has come to its end, nor
// where this build makes no calendar of it.
func Undone(s *pb.Scheduled, now time.Time) (slots []string) {
	c, err := Of(s)
	if err != nil || Left(s) == 0 {
		return nil
	}
	after, err := c.After(s.GetWatermark())
	if err != nil {
		return nil
	}
	civil := now.In(c.zone).Format(CivilLayout)
	for slot := range after {
		if slot.Civil > civil || len(slots) == maxUndone {
			break
		}
		slots = append(slots, slot.Civil)
	}
	return slots
}
