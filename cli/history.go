package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"squall/cli/show"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

func newHistoryCmd(a *app) *cobra.Command {
	req, limit := &pb.HistoryRequest{}, 0
	c := &cobra.Command{
		Use: "history EXPERIMENT", Short: "How the runs of an experiment went, one beside the other", Args: cobra.ExactArgs(1),
		Long:              "How the runs of an experiment went, oldest first: when, verdict, time to fail over, time to recover, and the worst value that each expectation saw. What is far from the median of up to ten runs before is marked: ! is worse, + is better.",
		ValidArgsFunction: onlyArgument(a.completeRunsBy((*pb.RunSummary).GetExperiment)),
		RunE: func(c *cobra.Command, args []string) error {
			if limit < 0 {
				return usagef("--limit %d can't be\n  fix: write how many, or 0 for all", limit)
			}
			client, err := a.connect()
			if err != nil {
				return err
			}
			defer client.close()
			req.Experiment = args[0]
			resp, err := newestHistory(c.Context(), client, req, limit)
			if err != nil {
				return err
			}
			if err := a.show(experimentHistoryView(resp)); err != nil {
				return err
			}
			a.tellOlder(resp.GetNextPageToken())
			return nil
		},
	}
	c.Flags().IntVar(&limit, "limit", 20, "how many runs, the newest of them; 0 is all")
	c.Flags().StringVar(&req.PageToken, "page", "", "go on with older ones, where another answer ended")
	return c
}

// tellOlder says how a list goes on, where it does.
func (a *app) tellOlder(token string) {
	if token != "" {
		fmt.Fprintf(a.stderr, "there are older ones; go on with: --page %s\n", token)
	}
}

// newestHistory are the newest runs of an experiment, oldest first, at most so
// many; 0 is all. The token of the answer goes on with older ones.
func newestHistory(ctx context.Context, c *client, req *pb.HistoryRequest, most int) (*pb.HistoryResponse, error) {
	whole := &pb.HistoryResponse{NextPageToken: req.GetPageToken()}
	for first := true; first || whole.GetNextPageToken() != "" && (most == 0 || len(whole.GetRuns()) < most); first = false {
		next, err := ask(ctx, c, pb.ControlServiceClient.History, &pb.HistoryRequest{
			Experiment: req.GetExperiment(), PageToken: whole.GetNextPageToken(), PageSize: sizeOfPage(most, len(whole.GetRuns())),
		})
		if err != nil {
			return nil, err
		}
		whole.Runs, whole.NextPageToken = append(whole.Runs, next.GetRuns()...), next.GetNextPageToken()
	}
	slices.Reverse(whole.GetRuns())
	return whole, nil
}

// sizeOfPage is how many entries to ask for, where so many are there of so many
// that are wanted; 0 wants all.
func sizeOfPage(most, there int) int32 {
	if most == 0 {
		return pageSize
	}
	return int32(min(pageSize, most-there))
}

// measure is a column of a history: a value of an expectation, or, where that
// compares none, whether it held.
type measure struct {
	expectation, value string
	// limit is what the newest run compares it with.
	limit string
}

// measuresOf are the columns of a history, in the order of the newest run's file.
func measuresOf(runs []*pb.HistoryEntry) (list []measure) {
	seen := map[[2]string]bool{}
	add := func(m measure) {
		if key := [2]string{m.expectation, m.value}; !seen[key] {
			seen[key] = true
			list = append(list, m)
		}
	}
	for _, r := range slices.Backward(runs) {
		for _, e := range r.GetRun().GetFigures().GetExpect() {
			for _, w := range e.GetWorst() {
				add(measure{e.GetName(), w.GetValue(), w.GetOp() + " " + figure(w.GetLimit())})
			}
			if len(e.GetWorst()) == 0 {
				add(measure{expectation: e.GetName()})
			}
		}
	}
	return list
}

func experimentHistoryView(resp *pb.HistoryResponse) view {
	v := view{message: resp, red: []string{"FAIL"}, table: func(w io.Writer, _ bool) { resultsTable(w, resp.GetRuns()) }}
	for _, r := range resp.GetRuns() {
		v.names = append(v.names, r.GetRun().GetId())
	}
	return v
}

func resultsTable(w io.Writer, runs []*pb.HistoryEntry) {
	measures := measuresOf(runs)
	fmt.Fprint(w, "WHEN\tVERDICT\tFAILOVER\tRECOVERY")
	for i := range measures {
		fmt.Fprintf(w, "\tE%d", i+1)
	}
	fmt.Fprintln(w, "\tRUN")
	for _, r := range runs {
		f := r.GetRun().GetFigures()
		fmt.Fprintf(w, "%s\t%s\t%s\t%s", minuteOf(r.GetRun().GetAdmittedUnixNanos()), runWord(r.GetRun()),
			show.Took(f.GetFailover())+mark(r, pb.DeviationKind_DEVIATION_KIND_FAILOVER, measure{}),
			show.Took(f.GetRecovery())+mark(r, pb.DeviationKind_DEVIATION_KIND_RECOVERY, measure{}))
		for _, m := range measures {
			fmt.Fprintf(w, "\t%s", m.cell(r))
		}
		fmt.Fprintf(w, "\t%s\n", r.GetRun().GetId())
	}
	for i, m := range measures {
		fmt.Fprintf(w, "E%d  %s%s\n", i+1, escape(m.expectation), when(m.value != "", ": "+m.value+" "+m.limit))
	}
	if len(runs) > 0 {
		lastDeviations(w, runs[len(runs)-1])
	}
}

// cell is what a run saw of a measure.
func (m measure) cell(r *pb.HistoryEntry) string {
	for _, e := range r.GetRun().GetFigures().GetExpect() {
		if e.GetName() != m.expectation {
			continue
		}
		state := when(e.GetState() != pb.FindingState_FINDING_STATE_HOLDS, " "+show.State(&pb.Finding{State: e.GetState()}))
		for _, w := range e.GetWorst() {
			if w.GetValue() == m.value {
				return figure(w.GetSeen()) + mark(r, pb.DeviationKind_DEVIATION_KIND_WORST, m) + state
			}
		}
		if m.value == "" {
			return show.State(&pb.Finding{State: e.GetState()})
		}
		return "-" + state
	}
	return "-"
}

// mark is ! where a figure is worse than usual, + where it is better.
func mark(r *pb.HistoryEntry, kind pb.DeviationKind, m measure) string {
	for _, d := range r.GetDeviations() {
		if d.GetKind() == kind && d.GetExpectation() == m.expectation && d.GetValue() == m.value {
			return map[bool]string{true: "!", false: "+"}[d.GetWorse()]
		}
	}
	return ""
}

// lastDeviations says in words what is far from the usual in the newest run.
func lastDeviations(w io.Writer, r *pb.HistoryEntry) {
	for _, d := range r.GetDeviations() {
		what, shown := escape(d.GetExpectation())+": "+d.GetValue(), figure
		switch d.GetKind() {
		case pb.DeviationKind_DEVIATION_KIND_FAILOVER:
			what, shown = "time to fail over", secondsWord
		case pb.DeviationKind_DEVIATION_KIND_RECOVERY:
			what, shown = "time to recover", secondsWord
		}
		fmt.Fprintf(w, "%s in the newest run: %s %s, usually %s (%s before)\n", map[bool]string{true: "worse", false: "better"}[d.GetWorse()],
			what, shown(d.GetSeen()), shown(d.GetMedian()), text.Count(int(d.GetRuns()), "run"))
	}
}

func secondsWord(s float64) string {
	if math.IsInf(s, 1) {
		return "never"
	}
	return span(time.Duration(s * 1e9).Round(100 * time.Millisecond))
}

// figure is a number with four digits: 0.994, 41.2.
func figure(v float64) string {
	out := strconv.FormatFloat(v, 'g', 4, 64)
	if strings.Contains(out, "e") && math.Abs(v) < 1e9 && math.Abs(v) >= 1 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return out
}

// minuteOf is an instant of the local calendar, to the minute.
func minuteOf(unixNanos int64) string {
	if unixNanos == 0 {
		return "-"
	}
	return time.Unix(0, unixNanos).Format("2006-01-02 15:04")
}
