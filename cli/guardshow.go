package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"squall/experiments"
	"squall/experiments/plan"
	pb "squall/proto/squall/v1"
	"squall/proto/text"

	"github.com/spf13/cobra"
)

func newGuardListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "The guardrails that are set, and the exceptions in force", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.connect()
			if err != nil {
				return err
			}
			defer client.close()
			guards, err := listGuards(c.Context(), client)
			if err != nil {
				return err
			}
			exceptions, err := listGuardExceptions(c.Context(), client)
			if err != nil {
				return err
			}
			return a.show(guardsView(guards, exceptions))
		},
	}
}

// listGuards are all guardrails of the cluster, by name.
func listGuards(ctx context.Context, c *client) (*pb.ListGuardsResponse, error) {
	return collect(func(token string) (*pb.ListGuardsResponse, error) {
		return ask(ctx, c, pb.ControlServiceClient.ListGuards, &pb.ListGuardsRequest{PageSize: pageSize, PageToken: token})
	})
}

// listGuardExceptions are all exceptions in force, by digest.
func listGuardExceptions(ctx context.Context, c *client) (*pb.ListGuardExceptionsResponse, error) {
	return collect(func(token string) (*pb.ListGuardExceptionsResponse, error) {
		return ask(ctx, c, pb.ControlServiceClient.ListGuardExceptions, &pb.ListGuardExceptionsRequest{PageSize: pageSize, PageToken: token})
	})
}

// completeGuards offers the guardrails that are set, as the only argument.
func (a *app) completeGuards() completion {
	return onlyArgument(a.completeLive(func(ctx context.Context, c *client, add func(string)) {
		guards, _ := listGuards(ctx, c)
		for _, g := range guards.GetGuards() {
			add(g.GetName())
		}
	}))
}

// guardList is what `guard list` prints for programs.
func guardList(guards *pb.ListGuardsResponse, exceptions *pb.ListGuardExceptionsResponse) *pb.GuardList {
	return &pb.GuardList{Guards: guards.GetGuards(), Rules: guards.GetRules(), Exceptions: exceptions.GetExceptions()}
}

func guardsView(guards *pb.ListGuardsResponse, exceptions *pb.ListGuardExceptionsResponse) view {
	v := view{message: guardList(guards, exceptions), table: func(w io.Writer, _ bool) {
		if len(guards.GetGuards()) == 0 {
			fmt.Fprintln(w, "no guardrail is set")
		} else {
			fmt.Fprintln(w, "GUARD\tRULE\tVERSION\tBY\tREASON")
		}
		for _, g := range guards.GetGuards() {
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", g.GetName(), escape(plan.GuardRule(g)), g.GetVersion(), orDash(g.GetBy().GetName()), orDash(g.GetBy().GetWhy()))
		}
		for _, e := range exceptions.GetExceptions() {
			fmt.Fprintf(w, "%s is let past %s until %s, by %s\n", e.GetDigest(), guardsWord(e), clockTime(e.GetUntilUnixNanos()), byLine(e.GetBy(), e.GetGrantedUnixNanos()))
		}
	}}
	for _, g := range guards.GetGuards() {
		v.names = append(v.names, g.GetName())
	}
	return v
}

func opinionsView(name string, resp *pb.ExplainGuardsResponse) view {
	v := view{message: resp, table: func(w io.Writer, _ bool) {
		for _, p := range resp.GetProblems() {
			fmt.Fprintln(w, experiments.FormatProblem(p))
		}
		if len(resp.GetOpinions()) == 0 && len(resp.GetProblems()) == 0 {
			fmt.Fprintln(w, "no guardrail is set")
		}
		for _, o := range resp.GetOpinions() {
			opinionLines(w, o)
		}
		if guardExitCode(resp) == 4 && resp.GetFileDigest() != "" {
			fmt.Fprintf(w, "to let this file past: squall guard except %s --for 2h --reason …\n", resp.GetFileDigest())
		}
	}}
	for _, o := range resp.GetOpinions() {
		v.names = append(v.names, o.GetGuard())
	}
	return v
}

func opinionLines(w io.Writer, o *pb.GuardOpinion) {
	fmt.Fprintf(w, "%s: %s\n", o.GetGuard(), escape(o.GetRule()))
	if o.GetStanding() == pb.GuardStanding_GUARD_STANDING_SILENT {
		fmt.Fprintln(w, "  says nothing of this")
		return
	}
	fmt.Fprintf(w, "  %s: %s\n", text.Word(o.GetStanding()), escape(o.GetUsed()))
	if len(o.GetZones()) > 0 {
		fmt.Fprintf(w, "  zones: %s\n", escape(strings.Join(o.GetZones(), ", ")))
	}
	if len(o.GetHosts()) > 0 {
		fmt.Fprintf(w, "  hosts: %s%s\n", escape(strings.Join(o.GetHosts(), ", ")), moreWord(int(o.GetHostCount())-len(o.GetHosts())))
	}
	if o.GetMessage() != "" {
		fmt.Fprintf(w, "  %s\n  fix: %s\n", escape(o.GetMessage()), escape(o.GetFix()))
	}
	if e := o.GetException(); e != nil {
		fmt.Fprintf(w, "  let past it until %s by %s\n", clockTime(e.GetUntilUnixNanos()), byLine(e.GetBy(), e.GetGrantedUnixNanos()))
	}
	fmt.Fprintf(w, "  set by %s", orDash(o.GetSetBy().GetName()))
	if why := o.GetSetBy().GetWhy(); why != "" {
		fmt.Fprintf(w, ": %s", escape(why))
	}
	fmt.Fprintln(w)
}

func moreWord(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}
