package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	pb "squall/proto/squall/v1"
)

// listDue are all experiments that are known, by name.
func listDue(ctx context.Context, c *client) (*pb.ListDueResponse, error) {
	return collect(func(token string) (*pb.ListDueResponse, error) {
		return ask(ctx, c, pb.ControlServiceClient.ListDue, &pb.ListDueRequest{PageSize: pageSize, PageToken: token})
	})
}

// dueView shows when each experiment last passed; what is overdue is red.
func dueView(resp *pb.ListDueResponse) view {
	v := view{message: resp, red: []string{"OVERDUE"}, table: func(w io.Writer, wide bool) {
		fmt.Fprintln(w, "EXPERIMENT\tPASSED\tDUE\tSTATE"+when(wide, "\tRUN\tSCHEDULES")+"\tWHY NOT SINCE")
		for _, d := range resp.GetExperiments() {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s", d.GetExperiment(), daysAgo(d.GetPassedUnixNanos(), time.Now()), dayCount(time.Duration(d.GetDueNanos())), dueWord(d))
			if wide {
				fmt.Fprintf(w, "\t%s\t%s", orDash(d.GetPassedRun()), orDash(strings.Join(d.GetSchedules(), " ")))
			}
			fmt.Fprintf(w, "\t%s\n", orDash(d.GetWhy()))
		}
	}}
	for _, d := range resp.GetExperiments() {
		v.names = append(v.names, d.GetExperiment())
	}
	return v
}

func dueWord(d *pb.Due) string {
	switch {
	case d.GetOverdue():
		return "OVERDUE"
	case d.GetPassedUnixNanos() == 0:
		return "to come"
	}
	return "ok"
}

// daysAgo is how long ago an instant was, to the day.
func daysAgo(unixNanos int64, now time.Time) string {
	if unixNanos == 0 {
		return "never"
	}
	return dayCount(max(0, now.Sub(time.Unix(0, unixNanos)))) + " ago"
}

// dayCount is a length of time in days; in less where it is less than one.
func dayCount(d time.Duration) string {
	const day = 24 * time.Hour
	if d < day {
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd", d/day)
}
