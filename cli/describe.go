package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"squall/experiments"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

func newDescribeCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "describe", Short: "Everything that is known of one host or run", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return usagef("describe what? host NAME or run ID") },
	}
	c.AddCommand(
		&cobra.Command{Use: "host NAME", Short: "One host", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeHosts(hostNames), RunE: func(c *cobra.Command, args []string) error {
			return a.describeHost(c.Context(), args[0])
		}},
		&cobra.Command{Use: "run ID", Short: "One run: its plan, and how far each host is", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeRuns(), RunE: func(c *cobra.Command, args []string) error {
			return a.describeRun(c.Context(), args[0])
		}},
	)
	return c
}

func (a *app) describeHost(ctx context.Context, name string) error {
	client, err := a.connect()
	if err != nil {
		return err
	}
	defer client.close()
	resp, err := ask(ctx, client, pb.ControlServiceClient.GetHost, &pb.GetHostRequest{Host: name})
	if err != nil {
		return err
	}
	return a.show(view{message: resp.GetHost(), names: []string{name}, table: func(w io.Writer, _ bool) { printHost(w, resp.GetHost()) }})
}

func (a *app) describeRun(ctx context.Context, id string) error {
	client, err := a.connect()
	if err != nil {
		return err
	}
	defer client.close()
	run, err := askWhole[pb.Run](ctx, client, pb.ControlServiceClient.GetRun, &pb.GetRunRequest{Run: id})
	if err != nil {
		return err
	}
	return a.show(view{message: run, names: []string{id}, table: func(w io.Writer, _ bool) { printRun(w, run) }})
}

func printHost(w io.Writer, r *pb.Registered) {
	h := r.GetHost()
	row := func(key, value string) { fmt.Fprintf(w, "%s\t%s\n", key, orDash(value)) }
	row("host", h.GetName())
	row("zone", strings.TrimSpace(h.GetZone()+" "+h.GetRoom()))
	row("environment", h.GetEnvironment())
	row("roles", strings.Join(h.GetRole(), ", "))
	row("addresses", strings.Join(h.GetAddress(), ", "))
	row("state", text.Word(h.GetPresence())+when(r.GetServer() != "", " through "+r.GetServer()))
	if r.GetDamage() != nil {
		row("journal", "damaged "+damageText(r.GetDamage()))
		row("damage id", r.GetDamage().GetId())
	}
	if r.GetConflict() != nil {
		row("conflict", conflictText(r.GetConflict()))
	}
	for _, o := range r.GetOpen() {
		row("not shown clean", fmt.Sprintf("%s %s: %s", o.GetRun(), o.GetStep(), orDash(strings.Join(o.GetResidue(), "; "))))
	}
	row("version", r.GetVersion())
	row("refuses", strings.Join(h.GetRefuse(), ", "))
	row("undeclared", strings.Join(h.GetUndeclared(), ", "))
	for _, wl := range h.GetWorkloads() {
		row("workload", wl.GetName()+when(wl.GetRole() != "", " ("+wl.GetRole()+")")+when(wl.GetProtect(), ", protected"))
	}
	for _, ab := range h.GetAbilities() {
		row("ability", fmt.Sprintf("%s: %s %s", ab.GetName(), text.Word(ab.GetState()), ab.GetDetail()))
	}
}

func printRun(w io.Writer, r *pb.Run) {
	fmt.Fprintf(w, "run\t%s\n", r.GetId())
	fmt.Fprintf(w, "experiment\t%s\n", r.GetExperiment().GetName())
	fmt.Fprintf(w, "state\t%s %s\n", text.Word(r.GetState()), when(r.GetVerdict() != 0, text.Word(r.GetVerdict())))
	fmt.Fprintf(w, "by\t%s\t%s\n", orDash(r.GetBy().GetName()), orDash(r.GetBy().GetWhy()))
	fmt.Fprintf(w, "fires\t%s\n", clockTime(r.GetT0UnixNanos()))
	for _, s := range r.GetPlan().GetSteps() {
		fmt.Fprintf(w, "step\t%s\t%s\tfrom +%s to +%s\n", s.GetId(), experiments.FaultName(s.GetFault()),
			span(time.Duration(s.GetStartNanos())), span(time.Duration(s.GetEndNanos())))
		for _, slot := range s.GetSlots() {
			st := r.GetSteps()[s.GetId()].GetHosts()[slot.GetHost()]
			fmt.Fprintf(w, "\t%s\t%s\t%s\n", slot.GetHost(), text.Word(st.GetState()), orDash(strings.Join(st.GetResidue(), "; ")))
		}
	}
}
