package report_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
	"squall/server/report"
	"squall/server/state"
)

// A list says when each schedule is next by all of its rules, those calendars
// among them that it names: none, and what nobody can tell, are two things.
func TestListsOfSchedulesSayWhenEachIsNext(t *testing.T) {
	now := time.Date(2027, 3, 1, 9, 0, 0, 0, time.UTC)
	of := func(name string, s *pb.Schedule) *pb.Scheduled {
		s.Timezone = "UTC"
		return &pb.Scheduled{Name: name, Experiment: &pb.Experiment{Name: name, Schedule: s}}
	}
	freeze := &pb.Calendar{Name: "freeze", Timezone: "UTC", Days: []string{"2027-03-01..2027-03-10"}}
	over := of("over", &pb.Schedule{Every: "day at 20:00", Count: 3})
	over.Begun = 3
	s := &pb.State{Rules: state.Rules, Calendars: map[string]*pb.Calendar{"freeze": freeze}, Schedules: map[string]*pb.Scheduled{
		"often":   of("often", &pb.Schedule{Every: "1h", Except: []string{"freeze"}}), // more than a hundred slots are skipped
		"over":    over,
		"plain":   of("plain", &pb.Schedule{Every: "day at 20:00"}),
		"strange": of("strange", &pb.Schedule{Every: "blue moon"}),
		"named":   of("named", &pb.Schedule{Every: "day at 20:00", Except: []string{"freeze"}}),
	}}
	m := state.New()
	if err := m.Restore(s); err != nil {
		t.Fatal(err)
	}
	got := pages(t, func(token string) (*pb.ListSchedulesResponse, error) {
		return report.ListSchedules(m.View(), now, &pb.ListSchedulesRequest{PageSize: 2, PageToken: token})
	}, func(r *pb.ListSchedulesResponse) (told []string) {
		for _, s := range r.GetSchedules() {
			if len(s.GetCalendars()) > 0 {
				t.Errorf("%s has its calendars", s.GetName())
			}
			told = append(told, fmt.Sprintf("%s %q %t", s.GetName(), s.GetNext(), s.GetNextUnknown() != ""))
		}
		return told
	})
	want := []string{`named "2027-03-11T20:00" false`, `often "2027-03-11T00:00" false`, `over "" false`, `plain "2027-03-01T20:00" false`, `strange "" true`}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
