package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	pb "squall/proto/squall/v1"
)

func newLogsCmd(a *app) *cobra.Command {
	var onward bool
	req := &pb.WatchRequest{}
	c := &cobra.Command{
		Use: "logs [RUN]", Short: "Events of a run; with -f as they happen, of one run or of all", Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeRuns(),
		RunE: func(c *cobra.Command, args []string) error {
			req.Run = first(args, "")
			if req.GetRun() == "" && !onward {
				return usagef("name a run, or follow all with -f")
			}
			client, err := a.connect()
			if err != nil {
				return err
			}
			defer client.close()
			if !onward {
				return a.pastEvents(c.Context(), client, req)
			}
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			err = client.watch(ctx, req, func(e *pb.Event) bool {
				a.logEvent(e)
				return req.GetRun() != "" && finished(e)
			})
			if errors.Is(err, context.Canceled) {
				return nil // the person has seen enough
			}
			return err
		},
	}
	c.Flags().BoolVarP(&onward, "follow", "f", false, "go on until the run ends, or until interrupted")
	c.Flags().Uint64Var(&req.AfterIndex, "after", 0, "leave out events up to this log index")
	return c
}

func (a *app) pastEvents(ctx context.Context, c *client, req *pb.WatchRequest) error {
	report, err := c.report(ctx, req.GetRun())
	if err != nil {
		return err
	}
	for _, e := range report.GetEvents() {
		if e.GetIndex() > req.GetAfterIndex() {
			a.logEvent(e)
		}
	}
	return nil
}

// logEvent prints an event where it is what was asked for: on stdout.
func (a *app) logEvent(e *pb.Event) {
	switch a.settings.Output { // where stdout is gone, so is the reader
	case "json":
		_ = printJSON(a.stdout, e)
	case "yaml":
		fmt.Fprintln(a.stdout, "---")
		_ = printYAML(a.stdout, e)
	default:
		printLine(a.stdout, e)
	}
}
