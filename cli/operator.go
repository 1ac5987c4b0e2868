package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"squall/experiments"
	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// archiveTime is how long a command may take that reads archives whole.
const archiveTime = 15 * time.Minute

func newOperatorCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "operator", Short: "Look after the servers", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return usagef("look after what? archive or time") },
	}
	a.addAsked(c, func() []*cobra.Command { return []*cobra.Command{newArchiveCmd(a), newTimeCmd(a)} })
	return c
}

func newArchiveCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "archive", Short: "What the servers keep of finished runs", Args: cobra.NoArgs,
		Long: "What the servers keep of finished runs: definition, plan, events and every window, as a file on each server. Each server keeps as much as its settings archive.age, archive.runs and archive.size allow: by default 800 days, 10,000 runs and 20 GiB. The oldest go first.",
		RunE: func(*cobra.Command, []string) error {
			return usagef("do what with the archive? list, verify, export or prune")
		},
	}
	c.AddCommand(
		listCmd(a, "list", "Finished runs, which servers have them, and what is lacking", listArchived, archiveView),
		newArchiveVerifyCmd(a), newArchiveExportCmd(a), newArchivePruneCmd(a),
	)
	return c
}

func archiveView(resp *pb.ListArchivedResponse) view {
	v := view{message: resp, table: func(w io.Writer, wide bool) {
		fmt.Fprintln(w, "RUN\tDONE\tVERDICT\tWINDOWS\tBYTES\tSERVERS\tLACKS"+when(wide, "\tDIGEST"))
		for _, r := range resp.GetRuns() {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\t%s%s\n", r.GetSummary().GetId(), clockTime(r.GetDoneUnixNanos()), text.Word(r.GetSummary().GetVerdict()),
				r.GetWindows(), r.GetBytes(), serversWord(r), orDash(r.GetLacks()), when(wide, fmt.Sprintf("\t%x", r.GetDigest())))
		}
	}}
	for _, r := range resp.GetRuns() {
		v.names = append(v.names, r.GetSummary().GetId())
	}
	return v
}

// serversWord names the servers that have a run, or says why none has.
func serversWord(r *pb.Archived) string {
	switch {
	case len(r.GetServers()) > 0:
		return strings.Join(r.GetServers(), ",")
	case r.GetPruned():
		return "none: pruned"
	case r.GetReleased():
		return "none: gone"
	}
	return "none yet"
}

func newArchiveVerifyCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "verify", Short: "Have every server read its archive whole and check every byte", Args: cobra.NoArgs,
		Long: "Have every server read its archive whole and check every byte against its digests. It fails where a file is damaged or foreign, a run is lacking, or a server does not answer.",
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.connect()
			if err != nil {
				return err
			}
			defer client.close()
			check, err := askWholeWithin[pb.ArchiveCheck](c.Context(), client, archiveTime, pb.ControlServiceClient.VerifyArchive, &pb.VerifyArchiveRequest{})
			if err != nil {
				return err
			}
			return errors.Join(a.show(checkView(check)), faulty(check))
		},
	}
}

func checkView(check *pb.ArchiveCheck) view {
	v := view{message: check, table: func(w io.Writer, _ bool) {
		fmt.Fprintln(w, "SERVER\tRUNS\tBYTES\tSTATE")
		for _, s := range check.GetServers() {
			state := "whole"
			if n := len(s.GetFaults()); n > 0 {
				state = text.Count(n, "fault")
			}
			if s.GetError() != "" {
				state = s.GetError()
			}
			fmt.Fprintf(w, "%s\t%d\t%d\t%s\n", s.GetServer(), s.GetRuns(), s.GetBytes(), state)
		}
		for _, s := range check.GetServers() {
			for _, f := range s.GetFaults() {
				fmt.Fprintf(w, "%s: %s%s: %s\n", s.GetServer(), f.GetFile(), f.GetRun(), f.GetText())
			}
		}
	}}
	for _, s := range check.GetServers() {
		v.names = append(v.names, s.GetServer())
	}
	return v
}

// faulty is an error where an archive is not whole.
func faulty(check *pb.ArchiveCheck) error {
	var bad []string
	for _, s := range check.GetServers() {
		if s.GetError() != "" || len(s.GetFaults()) > 0 {
			bad = append(bad, s.GetServer())
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return &exitError{code: experiments.ExitInternal, err: fmt.Errorf("verify archive: it is not whole on %s", strings.Join(bad, ", "))}
}

func newArchiveExportCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "export RUN", Short: "One archived run as lines of JSON: seal, run, events, windows", Args: cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRuns(),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.connect()
			if err != nil {
				return err
			}
			defer client.close()
			return client.export(c.Context(), args[0], a.stdout)
		},
	}
}

// export writes an archived run. What has been written can't be begun again on
// another server.
func (c *client) export(ctx context.Context, run string, to io.Writer) error {
	return c.call(ctx, archiveTime, func(ctx context.Context, control pb.ControlServiceClient) error {
		stream, err := control.ExportArchived(ctx, &pb.ExportArchivedRequest{Run: run})
		if err != nil {
			return err
		}
		return drain(stream.Recv, func(part *pb.ExportArchivedResponse) error {
			_, err := to.Write(part.GetPart())
			return err
		}, func() string { return fmt.Sprintf("run %q is not exported whole", run) })
	})
}

func newArchivePruneCmd(a *app) *cobra.Command {
	var req pb.PruneArchiveRequest
	var age, size string
	c := &cobra.Command{
		Use: "prune", Short: "Let go of the oldest archived runs, on every server", Args: cobra.NoArgs,
		Long: "Let go of the oldest archived runs, on every server, for good; their verdicts stay in `squall get runs`. At least one of --older-than, --keep and --keep-size says what is kept. --dry-run says what would go.",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := parseKeep(&req, age, size); err != nil {
				return err
			}
			return askAndShow(c.Context(), a, pb.ControlServiceClient.PruneArchive, &req, func(resp *pb.PruneArchiveResponse) view {
				return prunedView(&req, resp)
			})
		},
	}
	c.Flags().StringVar(&age, "older-than", "", "let go of runs that were done longer ago, such as 90d")
	c.Flags().Uint32Var(&req.Runs, "keep", 0, "keep this many runs, the newest")
	c.Flags().StringVar(&size, "keep-size", "", "keep this much on each server, such as 5GiB")
	c.Flags().BoolVar(&req.DryRun, "dry-run", false, "only say what would go")
	c.Flags().StringVar(&req.Why, "why", "", "the reason, for the record")
	return c
}

func parseKeep(req *pb.PruneArchiveRequest, age, size string) error {
	if age != "" {
		span, err := parseAge(age)
		if err == nil && span == 0 {
			err = errors.New("that is all of them; write a length of time, such as 90d")
		}
		if err != nil {
			return usagef("--older-than %q: %v", age, err)
		}
		req.AgeNanos = span
	}
	if size != "" {
		bytes, err := quantity.ParseSize(size)
		if err == nil && (bytes.GetBytes() == 0 || bytes.GetBytes() > math.MaxInt64) {
			err = errors.New("write 1B to 8388607TiB")
		}
		if err != nil {
			return usagef("--keep-size %q: %v", size, err)
		}
		req.Bytes = bytes.GetBytes()
	}
	if req.GetAgeNanos() == 0 && req.GetRuns() == 0 && req.GetBytes() == 0 {
		return usagef("say what is kept: --older-than 90d, --keep 100 or --keep-size 5GiB")
	}
	return nil
}

func prunedView(req *pb.PruneArchiveRequest, resp *pb.PruneArchiveResponse) view {
	return view{message: resp, table: func(w io.Writer, _ bool) {
		what := text.Count(int(resp.GetRuns()), "run")
		switch {
		case resp.GetRuns() == 0:
			fmt.Fprintln(w, "nothing is older or more than that")
		case req.GetDryRun():
			fmt.Fprintf(w, "%s of %d bytes would go, done from %s to %s\n", what, resp.GetBytes(), clockTime(resp.GetOldestUnixNanos()), clockTime(resp.GetNewestUnixNanos()))
		default:
			fmt.Fprintf(w, "%s of %d bytes go from every server, done from %s to %s\n", what, resp.GetBytes(), clockTime(resp.GetOldestUnixNanos()), clockTime(resp.GetNewestUnixNanos()))
		}
	}}
}

// parseAge reads an age in days, such as 90d, or as any length of time; in nanoseconds.
func parseAge(age string) (int64, error) {
	if days, ok := strings.CutSuffix(age, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil && n > 0 {
			return int64(n) * int64(24*time.Hour), nil
		}
		return 0, errors.New("write a whole number of days, such as 90d")
	}
	s, err := quantity.ParseSpan(age)
	return s.GetNanos(), err
}
