package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"squall/experiments"
	"squall/experiments/schedule"
	pb "squall/proto/squall/v1"
)

func newScheduleNextCmd(a *app) *cobra.Command {
	count := 10
	c := &cobra.Command{
		Use: "next NAME|FILE", Short: "The next slots, in the schedule's zone and in UTC, and what hinders each", Args: cobra.ExactArgs(1),
		Long:              "The next slots, in the schedule's zone and in UTC, and what hinders each as things stand: a day that is left out, an hour that clocks leave out, a pause, the halt lever, a run that is under way then, a guardrail of the cluster. Of a file, only its own rules are looked at, and the calendars of the cluster that it names.",
		ValidArgsFunction: orFile(a.completeSchedules()),
		RunE: func(c *cobra.Command, args []string) error {
			if count < 1 || count > 1000 {
				return usagef("--count %d: from 1 to 1000", count)
			}
			src, err := readFile(args[0])
			if errors.Is(err, fs.ErrNotExist) {
				return askAndShow(c.Context(), a, pb.ControlServiceClient.NextSlots, &pb.NextSlotsRequest{Name: args[0], Count: int32(count)},
					func(resp *pb.NextSlotsResponse) view { return nextView(args[0], resp) })
			}
			if err != nil {
				return usage(err)
			}
			e, err := scheduleOf(args[0], src)
			if err != nil {
				return usage(err)
			}
			return a.showUpcoming(c.Context(), e, count)
		},
	}
	c.Flags().IntVar(&count, "count", count, "how many")
	return c
}

// scheduleOf is the experiment of a file that says when it begins.
func scheduleOf(path string, src []byte) (*pb.Experiment, error) {
	e, _, problems := experiments.Decode(path, src)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	if e.GetSchedule() == nil {
		return nil, fmt.Errorf("%s does not say when it begins\n  fix: add `schedule: { every: first tuesday at 14:30, timezone: UTC }`", path)
	}
	return e, nil
}

// showUpcoming shows the next slots by a file's own rules. Only the calendars
// that it names are asked for.
func (a *app) showUpcoming(ctx context.Context, e *pb.Experiment, count int) error {
	s := &pb.Scheduled{Name: e.GetName(), Experiment: e}
	if len(schedule.Named(e.GetSchedule())) > 0 {
		client, err := a.connect()
		if err != nil {
			return err
		}
		defer client.close()
		calendars, err := listCalendars(ctx, client)
		if err != nil {
			return err
		}
		s.Calendars = calendars.GetCalendars()
	}
	slots, err := schedule.Upcoming(s, time.Now(), count)
	if wrong, ok := errors.AsType[*schedule.Error](err); ok {
		return usagef("%v\n  fix: %s", wrong, wrong.Fix)
	}
	resp := &pb.NextSlotsResponse{Timezone: e.GetSchedule().GetTimezone()}
	for _, slot := range slots {
		next := &pb.NextSlot{Slot: slot.Civil, AtUnixNanos: slot.Start.UnixNano()}
		if slot.Skip != "" {
			next.HinderedBy = []string{slot.Skip}
		}
		resp.Slots = append(resp.Slots, next)
	}
	return a.show(nextView(e.GetName(), resp))
}

func nextView(name string, resp *pb.NextSlotsResponse) view {
	v := view{message: resp, table: func(w io.Writer, _ bool) {
		nextTable(w, resp.GetTimezone(), resp.GetSlots())
		for _, p := range resp.GetRefused() {
			fmt.Fprintf(w, "a run of %s that began now would be refused: %s\n", name, experiments.FormatProblem(p))
		}
	}}
	for _, slot := range resp.GetSlots() {
		v.names = append(v.names, slot.GetSlot())
	}
	return v
}

func nextTable(w io.Writer, zone string, slots []*pb.NextSlot) {
	if len(slots) == 0 {
		fmt.Fprintln(w, "no slot is to come")
		return
	}
	fmt.Fprintf(w, "NEXT IN %s\tUTC\tHINDERED BY\n", strings.ToUpper(zone))
	for _, slot := range slots {
		fmt.Fprintf(w, "%s\t%s\t%s\n", slot.GetSlot(), utcWord(time.Unix(0, slot.GetAtUnixNanos())), orDash(strings.Join(slot.GetHinderedBy(), "; ")))
	}
}

// utcWord is an instant in UTC, with seconds where a jitter gives it some.
func utcWord(at time.Time) string {
	if at.Second() == 0 {
		return at.UTC().Format(schedule.CivilLayout)
	}
	return at.UTC().Format(schedule.CivilLayout + ":05")
}
