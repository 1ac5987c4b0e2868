package schedule

import (
	"slices"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// TestUndoneSlotsAreThoseOfTheWall: the jitter of one may be to come.
func TestUndoneSlotsAreThoseOfTheWall(t *testing.T) {
	for _, c := range []struct {
		name, watermark, now string
		count, begun         uint32
		want                 []string
	}{
		{"one waits for its jitter", "2026-12-01T09:00", "2026-12-01T09:05:00Z", 0, 0, []string{"2026-12-01T10:00"}},
		{"it is dealt with", "2026-12-01T10:00", "2026-12-01T09:05:00Z", 0, 0, nil},
		{"nobody dealt with two", "2026-12-01T08:00", "2026-12-01T09:00:00Z", 0, 0, []string{"2026-12-01T09:00", "2026-12-01T10:00"}},
		{"it has come to its end", "2026-11-01T10:00", "2026-12-01T09:00:00Z", 2, 2, nil},
		{"it can't be read", "yesterday", "2026-12-01T09:00:00Z", 0, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &pb.Scheduled{Name: "d", Watermark: c.watermark, Begun: c.begun, Experiment: &pb.Experiment{Schedule: &pb.Schedule{
				Every: "1h", Timezone: "Europe/Paris", Count: c.count, Jitter: &pb.Span{Nanos: int64(30 * time.Minute)},
			}}}
			if got := Undone(s, instant(t, c.now)); !slices.Equal(got, c.want) {
				t.Errorf("undone are %v, want %v", got, c.want)
			}
		})
	}
	if got := Undone(nil, instant(t, "2026-12-01T09:00:00Z")); got != nil {
		t.Errorf("of no schedule, %v are undone", got)
	}
}
