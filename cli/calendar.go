package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	pb "squall/proto/squall/v1"
)

func newCalendarCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "calendar", Short: "Days on which schedules begin nothing",
		Long: "Days on which schedules begin nothing: a schedule leaves a calendar out by its name in `except`. A change holds for every schedule that names it, from its next slot on.",
	}
	a.addAsked(c, func() []*cobra.Command {
		return []*cobra.Command{
			newCalendarPutCmd(a), newCalendarGetCmd(a),
			listCmd(a, "list", "The calendars that are kept", listCalendars, calendarsView), newCalendarRemoveCmd(a),
		}
	})
	return c
}

func newCalendarPutCmd(a *app) *cobra.Command {
	var req pb.PutCalendarRequest
	c := &cobra.Command{
		Use: "put NAME DAY|FIRST..LAST…", Short: "Keep days, in the place of those of this name", Args: cobra.MinimumNArgs(2),
		Example:           "  squall calendar put freeze 2026-12-24..2027-01-02 2027-03-01 --timezone Asia/Seoul --reason 'year-end freeze'",
		ValidArgsFunction: a.completeCalendars(),
		RunE: func(c *cobra.Command, args []string) error {
			req.Id, req.Name, req.Days = newID(), args[0], args[1:]
			return askAndShow(c.Context(), a, pb.ControlServiceClient.PutCalendar, &req, func(resp *pb.PutCalendarResponse) view {
				return sentenced(resp, args[0], "calendar "+args[0]+" is kept")
			})
		},
	}
	c.Flags().StringVar(&req.Timezone, "timezone", "", "whose days they are, such as Europe/Paris; required")
	c.Flags().StringVar(&req.Reason, "reason", "", "why, for the record")
	return c
}

func newCalendarGetCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "get NAME", Short: "One calendar, and which schedules name it", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeCalendars(),
		RunE: func(c *cobra.Command, args []string) error {
			return askAndShow(c.Context(), a, pb.ControlServiceClient.GetCalendar, &pb.GetCalendarRequest{Name: args[0]}, calendarView)
		},
	}
}

func newCalendarRemoveCmd(a *app) *cobra.Command {
	return removeCmd(a, "remove NAME", "Drop a calendar that no schedule names", "calendar", a.completeCalendars(), pb.ControlServiceClient.RemoveCalendar,
		func(name, reason string) *pb.RemoveCalendarRequest {
			return &pb.RemoveCalendarRequest{Id: newID(), Name: name, Reason: reason}
		})
}

// listCalendars are all calendars, by name.
func listCalendars(ctx context.Context, c *client) (*pb.ListCalendarsResponse, error) {
	return collect(func(token string) (*pb.ListCalendarsResponse, error) {
		return ask(ctx, c, pb.ControlServiceClient.ListCalendars, &pb.ListCalendarsRequest{PageSize: pageSize, PageToken: token})
	})
}

func calendarView(resp *pb.GetCalendarResponse) view {
	k := resp.GetCalendar()
	return view{message: resp, names: []string{k.GetName()}, table: func(w io.Writer, _ bool) {
		fmt.Fprintf(w, "%s in %s, put by %s\n", k.GetName(), k.GetTimezone(), byLine(k.GetBy(), k.GetPutUnixNanos()))
		for _, days := range k.GetDays() {
			fmt.Fprintf(w, "  %s\n", days)
		}
		fmt.Fprintf(w, "named by %s\n", orDash(strings.Join(resp.GetNamedBy(), " ")))
	}}
}

func calendarsView(resp *pb.ListCalendarsResponse) view {
	v := view{message: resp, table: func(w io.Writer, _ bool) {
		fmt.Fprintln(w, "CALENDAR\tZONE\tDAYS\tBY\tREASON")
		for _, k := range resp.GetCalendars() {
			days := k.GetDays()
			more := ""
			if n := len(days); n > 3 {
				days, more = days[:3], fmt.Sprintf(" and %d more", n-3)
			}
			fmt.Fprintf(w, "%s\t%s\t%s%s\t%s\t%s\n", k.GetName(), k.GetTimezone(), strings.Join(days, " "), more, orDash(k.GetBy().GetName()), orDash(k.GetBy().GetWhy()))
		}
	}}
	for _, k := range resp.GetCalendars() {
		v.names = append(v.names, k.GetName())
	}
	return v
}
