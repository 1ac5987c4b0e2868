package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

// A jitter is how much later than their civil times slots are.
type jitter struct {
	name string
	seed uint64
	most time.Duration
}

// of is the offset of a slot, in whole seconds: from none to the most, and less
// than room. It follows from the schedule, the slot and the seed, so that every
// leader has the same.
func (j jitter) of(civil string, room time.Duration) time.Duration {
	choices := uint64(min(j.most+time.Second, room) / time.Second)
	if choices == 0 {
		return 0
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", j.name, civil, j.seed))
	return time.Duration(binary.LittleEndian.Uint64(sum[:8])%choices) * time.Second
}

// setJitter wants slots to stay in their order.
func (c *Calendar) setJitter(s *pb.Schedule) error {
	c.jitter = jitter{seed: s.GetSeed(), most: time.Duration(s.GetJitter().GetNanos())}
	if c.jitter.most == 0 && s.GetSeed() != 0 {
		return &Error{"seed", "seed stands without `jitter`, which alone is drawn from it", "add `jitter`, such as `jitter: 10m`, or take it out"}
	}
	if gap := c.leastGap(); c.jitter.most >= gap {
		return &Error{"jitter", fmt.Sprintf("%s is not shorter than the %s from one start to the next",
			quantity.FormatSpan(c.jitter.most.Nanoseconds()), quantity.FormatSpan(gap.Nanoseconds())), "shorten it, or start less often"}
	}
	return nil
}

// leastGap is the shortest time from one time of day to the next, by the wall.
func (c *Calendar) leastGap() time.Duration {
	gap := day
	for i, m := range c.times {
		next := c.times[0] + day
		if i+1 < len(c.times) {
			next = c.times[i+1]
		}
		gap = min(gap, next-m)
	}
	return time.Duration(gap) * time.Minute
}

// checkRules refuses what says how to do something that the schedule doesn't do.
func checkRules(s *pb.Schedule) error {
	switch {
	case s.GetLate() != nil && s.GetMissed() != "run":
		return &Error{"late", "late stands without `missed: run`, so that nothing is run late", "add `missed: run`, or take it out"}
	case s.GetRetryAfter() != nil && s.GetRetry() == 0:
		return &Error{"retry_after", "retry_after stands without `retry`, so that nothing is tried again", "add `retry: 3`, or take it out"}
	}
	return nil
}

// Upcoming are the slots of a schedule after an instant, at most n: those that
// are skipped too. Where the schedule ends after so many runs, it ends with the
// slots that would begin what is left of them.
func Upcoming(s *pb.Scheduled, after time.Time, n int) ([]Slot, error) {
	c, err := Of(s)
	if err != nil {
		return nil, err
	}
	left := Left(s)
	var all []Slot
	for slot := range c.Since(after) {
		if len(all) == n || left == 0 {
			break
		}
		all = append(all, slot)
		if slot.Skip == "" && left > 0 {
			left--
		}
	}
	return slices.Clip(all), nil
}

// Left is how many runs a schedule has still to begin; -1 where it goes on.
func Left(s *pb.Scheduled) int {
	count := s.GetExperiment().GetSchedule().GetCount()
	if count == 0 {
		return -1
	}
	return max(int(count)-int(s.GetBegun()), 0)
}
