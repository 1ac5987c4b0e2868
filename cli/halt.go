package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"squall/experiments"
	pb "squall/proto/squall/v1"
)

var errUncommitted = errors.New("the halt was heard but is not committed: no quorum; what was heard is reverted, and hosts end what they hold at their lease")

func newHaltCmd(a *app) *cobra.Command {
	var reason string
	var local localFlags
	c := &cobra.Command{
		Use:   "halt",
		Short: "Revert everything and refuse new runs; never asks",
		Long:  "Revert everything and refuse new runs until resume. It works through any server, also without a quorum, and returns when every host has shown that it is clean or has been named.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if local.local {
				return local.do(a, func(l *localClient) error { return l.halt(c.Context(), reason) })
			}
			client, err := a.connect()
			if err != nil {
				return err
			}
			defer client.close()
			resp, err := client.halt(c.Context(), reason, a.settings.Wait)
			if err != nil {
				return err
			}
			if err := a.showClean(resp, haltLine(resp), client.barredAmong(c.Context(), resp.GetHosts())); err != nil {
				return err
			}
			var uncommitted error
			if !resp.GetCommitted() {
				uncommitted = &exitError{experiments.ExitUnreachable, errUncommitted}
			}
			return cleanError(resp, uncommitted)
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	local.register(c.Flags())
	return c
}

// halt tells every server at once, under one id: whichever still reaches hosts
// acts at once. It returns with the first committed answer, or when all have
// answered.
func (c *client) halt(ctx context.Context, reason string, wait time.Duration) (*pb.HaltResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+c.timeout)
	defer cancel()
	req := &pb.HaltRequest{Id: newID(), Reason: reason, WaitNanos: wait.Nanoseconds()}
	type answer struct {
		resp *pb.HaltResponse
		err  error
	}
	answers := make(chan answer, len(c.servers))
	for _, s := range c.servers {
		go func() {
			resp, err := s.control.Halt(ctx, req)
			answers <- answer{resp, err}
		}()
	}
	var best *pb.HaltResponse
	var errs []error
	for range c.servers {
		a := <-answers
		switch {
		case a.err != nil:
			errs = append(errs, a.err)
		case a.resp.GetCommitted():
			return a.resp, nil
		default:
			best = mergeHalts(best, a.resp)
		}
	}
	if best == nil {
		return nil, &exitError{experiments.ExitUnreachable, fmt.Errorf("no server heard the halt: %w; on a host: squall halt --local", errors.Join(errs...))}
	}
	return best, nil
}

// mergeHalts joins what two servers know: a host that one of them has seen
// clean is clean.
func mergeHalts(a, b *pb.HaltResponse) *pb.HaltResponse {
	if a == nil {
		return b
	}
	a.MoreHosts = max(a.GetMoreHosts(), b.GetMoreHosts())
	for _, h := range b.GetHosts() {
		i := slices.IndexFunc(a.GetHosts(), func(x *pb.HostClean) bool { return x.GetHost() == h.GetHost() })
		switch {
		case i < 0:
			a.Hosts = append(a.Hosts, h)
		case a.Hosts[i].GetUnknown():
			a.Hosts[i] = h
		}
	}
	return a
}

func haltLine(r *pb.HaltResponse) string {
	if r.GetCommitted() {
		return "halted: new runs are refused until squall resume"
	}
	return "heard, but not committed: no quorum"
}

func newResumeCmd(a *app) *cobra.Command {
	var req pb.ResumeRequest
	var local localFlags
	c := &cobra.Command{
		Use: "resume [ID]", Short: "Let go of the halt lever: of the halt named, or of the one engaged", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			req.Id = first(args, "")
			if local.local {
				return local.do(a, func(l *localClient) error { return l.resume(c.Context(), req.GetId()) })
			}
			return askAndShow(c.Context(), a, pb.ControlServiceClient.Resume, &req, func(resp *pb.ResumeResponse) view {
				return view{message: resp, names: []string{resp.GetId()}, table: func(w io.Writer, _ bool) {
					fmt.Fprintf(w, "resumed: halt %s is lifted, new runs are admitted\n", resp.GetId())
				}}
			})
		},
	}
	local.register(c.Flags())
	c.Flags().StringVar(&req.Reason, "reason", "", "why, for the record")
	return c
}

func newUndoCmd(a *app) *cobra.Command {
	var req pb.UndoRequest
	var local localFlags
	c := &cobra.Command{
		Use: "undo [RUN | --all]", Short: "End one run, or all of them, and show that hosts are clean", Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeRuns(),
		RunE: func(c *cobra.Command, args []string) error {
			req.Run = first(args, "")
			if (req.GetRun() == "") == !req.GetAll() {
				return usagef("name one run, or give --all")
			}
			if local.local {
				return local.do(a, func(l *localClient) error { return l.undo(c.Context(), req.GetRun()) })
			}
			return a.undo(c.Context(), &req)
		},
	}
	local.register(c.Flags())
	c.Flags().BoolVar(&req.All, "all", false, "every run")
	c.Flags().StringVar(&req.Reason, "reason", "", "why, for the record")
	return c
}

func (a *app) undo(ctx context.Context, req *pb.UndoRequest) error {
	client, err := a.connect()
	if err != nil {
		return err
	}
	defer client.close()
	req.WaitNanos = a.settings.Wait.Nanoseconds()
	resp, err := askWithin(ctx, client, a.settings.Wait+a.settings.Timeout, pb.ControlServiceClient.Undo, req)
	if err != nil {
		return err
	}
	if err := a.showClean(resp, undoLine(resp), client.barredAmong(ctx, resp.GetHosts())); err != nil {
		return err
	}
	return cleanError(resp, nil)
}

// undoLine says which runs an undo has ended, and which had ended before.
func undoLine(r *pb.UndoResponse) string {
	var said []string
	if len(r.GetRuns()) > 0 {
		said = append(said, "ended "+strings.Join(r.GetRuns(), " "))
	}
	if len(r.GetEndedBefore()) > 0 {
		said = append(said, "ended before: "+strings.Join(r.GetEndedBefore(), " "))
	}
	if len(said) == 0 {
		return "nothing to undo: no run is under way"
	}
	return strings.Join(said, "; ")
}
