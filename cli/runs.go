package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"squall/experiments/near"
	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// runsAsked are the flags of `get runs`.
type runsAsked struct {
	req      pb.ListRunsRequest
	verdicts []string
	since    string
	limit    int
}

func newGetRunsCmd(a *app) *cobra.Command {
	var asked runsAsked
	c := &cobra.Command{
		Use: "runs", Short: "Runs and their verdicts, oldest first", Args: cobra.NoArgs,
		Long: "Runs and their verdicts, oldest first, those that only the archive has among them. The newest are shown, as many as --limit says; --page goes on with older ones, whatever has begun meanwhile.",
		Example: `  squall get runs --experiment zone-loss --since 30d
  squall get runs --verdict fail,aborted --zone zone-b
  squall get runs --schedule weekly --limit 10`,
		RunE: func(c *cobra.Command, _ []string) error { return a.getRuns(c.Context(), &asked) },
	}
	f := c.Flags()
	f.StringVar(&asked.req.Experiment, "experiment", "", "only those of this experiment")
	f.StringVar(&asked.req.Schedule, "schedule", "", "only those that this schedule began")
	f.StringVar(&asked.req.Zone, "zone", "", "only those that touch this zone")
	f.StringSliceVar(&asked.verdicts, "verdict", nil, "only those with this verdict: "+strings.Join(verdictWords(), ", ")+" (may be repeated)")
	f.StringVar(&asked.since, "since", "", "only those begun since: a time ago (30d, 12h), a day (2026-11-01) or an instant (RFC 3339)")
	f.IntVar(&asked.limit, "limit", 100, "how many, the newest of them; 0 is all")
	f.StringVar(&asked.req.PageToken, "page", "", "go on with older ones, where another answer ended")
	completeFlags(c, map[string]completion{
		"verdict": completeNames(verdictWords()...), "zone": a.completeHosts(hostZones),
		"experiment": a.completeRunsBy((*pb.RunSummary).GetExperiment),
		"schedule":   a.completeRunsBy(func(r *pb.RunSummary) string { return r.GetSlot().GetSchedule() }),
	})
	return c
}

func (a *app) getRuns(ctx context.Context, asked *runsAsked) error {
	if err := asked.read(time.Now()); err != nil {
		return usage(err)
	}
	client, err := a.connect()
	if err != nil {
		return err
	}
	defer client.close()
	resp, err := newestRuns(ctx, client, &asked.req, asked.limit)
	if err != nil {
		return err
	}
	if err := a.show(runsView(resp)); err != nil {
		return err
	}
	a.tellOlder(resp.GetNextPageToken())
	return nil
}

// read checks the flags, and puts them into the request.
func (r *runsAsked) read(now time.Time) error {
	if r.limit < 0 {
		return fmt.Errorf("--limit %d can't be\n  fix: write how many, or 0 for all", r.limit)
	}
	for _, word := range r.verdicts {
		v, err := parseVerdict(word)
		if err != nil {
			return err
		}
		r.req.Verdicts = append(r.req.Verdicts, v)
	}
	if r.since == "" {
		return nil
	}
	since, err := parseSince(r.since, now)
	r.req.SinceUnixNanos = since.UnixNano()
	return err
}

// verdictWord is a verdict as flags and files have it.
func verdictWord(v pb.Verdict) string { return strings.ReplaceAll(text.Word(v), " ", "_") }

func verdictWords() (words []string) {
	for v := pb.Verdict_VERDICT_PASS; int(v) < len(pb.Verdict_name); v++ {
		words = append(words, verdictWord(v))
	}
	return words
}

func parseVerdict(word string) (pb.Verdict, error) {
	i := slices.Index(verdictWords(), strings.ReplaceAll(strings.TrimSpace(word), " ", "_"))
	if i < 0 {
		return 0, fmt.Errorf("--verdict: %q is no verdict\n  fix: %s", word, near.Fix(word, "verdict", verdictWords()))
	}
	return pb.Verdict_VERDICT_PASS + pb.Verdict(i), nil
}

// parseSince reads how long ago, a day of the local calendar, or an instant.
func parseSince(text string, now time.Time) (time.Time, error) {
	if ago, err := quantity.ParseSpan(text); err == nil {
		return now.Add(-time.Duration(ago.GetNanos())), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339Nano} {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil && at.Year() >= 1970 && at.Year() < 2200 {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("--since: %.60q is no time\n  fix: write how long ago (30d, 12h), a day (2026-11-01) or an instant (2026-11-01T09:00:00Z)", text)
}

// newestRuns are the newest runs that a request wants, oldest first, at most so
// many; 0 is all. The token of the answer goes on with older ones.
func newestRuns(ctx context.Context, c *client, req *pb.ListRunsRequest, most int) (*pb.ListRunsResponse, error) {
	req = proto.CloneOf(req)
	req.NewestFirst = true
	whole := &pb.ListRunsResponse{NextPageToken: req.GetPageToken()}
	for first := true; first || whole.GetNextPageToken() != "" && (most == 0 || len(whole.GetRuns()) < most); first = false {
		req.PageToken, req.PageSize = whole.GetNextPageToken(), sizeOfPage(most, len(whole.GetRuns()))
		next, err := ask(ctx, c, pb.ControlServiceClient.ListRuns, req)
		if err != nil {
			return nil, err
		}
		whole.Runs, whole.NextPageToken = append(whole.Runs, next.GetRuns()...), next.GetNextPageToken()
	}
	slices.Reverse(whole.GetRuns())
	return whole, nil
}

func runsView(resp *pb.ListRunsResponse) view {
	v := view{message: resp, table: func(w io.Writer, wide bool) {
		fmt.Fprintln(w, "RUN\tEXPERIMENT\tSTATE\tHOSTS\tRESIDUE\tSTARTED\tBY"+when(wide, "\tZONES\tSLOT\tWHY\tWHERE"))
		for _, r := range resp.GetRuns() {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\t%s%s\n", r.GetId(), r.GetExperiment(), runWord(r)+when(r.GetPlace() == pb.RunPlace_RUN_PLACE_GONE, " (gone)"), r.GetHosts(), r.GetResidue(),
				clockTime(r.GetAdmittedUnixNanos()), orDash(r.GetBy().GetName()), when(wide, fmt.Sprintf("\t%s\t%s\t%s\t%s", orDash(strings.Join(r.GetZones(), ",")), orDash(slotName(r.GetSlot())), orDash(r.GetBy().GetWhy()), placeWord(r))))
		}
	}}
	for _, r := range resp.GetRuns() {
		v.names = append(v.names, r.GetId())
	}
	return v
}

// slotName is a slot as people write it; empty where a person began the run.
func slotName(s *pb.SlotRef) string {
	return strings.TrimSpace(s.GetSchedule() + " " + s.GetSlot())
}

// lastRun is the one that was admitted last.
func lastRun(ctx context.Context, c *client) (string, error) {
	resp, err := newestRuns(ctx, c, &pb.ListRunsRequest{}, 1)
	if err != nil {
		return "", err
	}
	if len(resp.GetRuns()) == 0 {
		return "", usagef("there is no run yet; try: squall run zone-loss")
	}
	return resp.GetRuns()[0].GetId(), nil
}
