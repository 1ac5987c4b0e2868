package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"squall/experiments"
	pb "squall/proto/squall/v1"
)

func newDescribeCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "describe", Short: "Everything that is known of one host or run", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return usagef("describe what? host NAME or run ID") },
	}
	c.AddCommand(
		&cobra.Command{Use: "host NAME", Short: "One host", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeHosts(hostNames), RunE: func(c *cobra.Command, args []string) error {
			resp, err := a.get(c.Context(), &pb.GetRequest{Kind: "hosts", Name: args[0]})
			if err != nil {
				return err
			}
			if len(resp.GetHosts()) == 0 {
				return usagef("no host is named %q; squall get hosts lists them", args[0])
			}
			h := resp.GetHosts()[0]
			return a.show(view{message: h, names: args, table: func(w io.Writer, _ bool) { describeHost(w, h) }})
		}},
		&cobra.Command{Use: "run ID", Short: "One run: its plan, and how far each host is", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeRuns(), RunE: func(c *cobra.Command, args []string) error {
			resp, err := a.get(c.Context(), &pb.GetRequest{Kind: "runs", Name: args[0]})
			if err != nil {
				return err
			}
			if len(resp.GetRun()) == 0 {
				return usagef("no run is named %q; squall get runs lists them", args[0])
			}
			r := resp.GetRun()[0]
			return a.show(view{message: r, names: args, table: func(w io.Writer, _ bool) { describeRun(w, r) }})
		}},
	)
	return c
}

func describeHost(w io.Writer, r *pb.Registered) {
	h := r.GetHost()
	row := func(key, value string) { fmt.Fprintf(w, "%s\t%s\n", key, orDash(value)) }
	row("host", h.GetName())
	row("zone", strings.TrimSpace(h.GetZone()+" "+h.GetRoom()))
	row("environment", h.GetEnvironment())
	row("roles", strings.Join(h.GetRole(), ", "))
	row("addresses", strings.Join(h.GetAddress(), ", "))
	row("state", word(h.GetPresence(), "PRESENCE_")+when(r.GetServer() != "", " through "+r.GetServer()))
	row("version", r.GetVersion())
	row("refuses", strings.Join(h.GetRefuse(), ", "))
	row("undeclared", strings.Join(h.GetUndeclared(), ", "))
	for _, wl := range h.GetWorkloads() {
		row("workload", wl.GetName()+when(wl.GetRole() != "", " ("+wl.GetRole()+")")+when(wl.GetProtect(), ", protected"))
	}
	for _, ab := range h.GetAbilities() {
		row("ability", fmt.Sprintf("%s: %s %s", ab.GetName(), word(ab.GetState(), "ABILITY_STATE_"), ab.GetDetail()))
	}
}

func describeRun(w io.Writer, r *pb.Run) {
	fmt.Fprintf(w, "run\t%s\n", r.GetId())
	fmt.Fprintf(w, "experiment\t%s\n", r.GetExperiment().GetName())
	fmt.Fprintf(w, "state\t%s %s\n", word(r.GetState(), "RUN_STATE_"), when(r.GetVerdict() != 0, word(r.GetVerdict(), "VERDICT_")))
	fmt.Fprintf(w, "by\t%s\t%s\n", orDash(r.GetBy().GetName()), orDash(r.GetBy().GetWhy()))
	fmt.Fprintf(w, "fires\t%s\n", clockTime(r.GetT0UnixNanos()))
	for _, s := range r.GetPlan().GetSteps() {
		fmt.Fprintf(w, "step\t%s\t%s\tfrom +%s to +%s\n", s.GetId(), experiments.FaultName(s.GetFault()),
			span(time.Duration(s.GetStartNanos())), span(time.Duration(s.GetEndNanos())))
		for _, slot := range s.GetSlots() {
			st := r.GetSteps()[s.GetId()].GetHosts()[slot.GetHost()]
			fmt.Fprintf(w, "\t%s\t%s\t%s\n", slot.GetHost(), word(st.GetState(), "STEP_STATE_"), orDash(strings.Join(st.GetResidue(), "; ")))
		}
	}
}
