package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"squall/experiments"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

func newGetCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "get", Short: "List zones, hosts, runs, experiments, faults or the audit", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usagef("list what? zones, hosts, runs, experiments, faults or audit")
		},
	}
	c.AddCommand(
		listCmd(a, "hosts", "Hosts, where they are, and whether they are connected", listHosts, hostsView),
		listCmd(a, "zones", "Zones, and how many hosts each has", listZones, zonesView),
		newGetRunsCmd(a),
		listCmd(a, "audit", "Who did what, when and why", listAuditRecords, auditView),
		newGetFaultsCmd(a),
		listCmd(a, "experiments", "Experiments: days since each last passed, and why not since", listDue, dueView),
	)
	return c
}

// listCmd is a command that lists what the control plane has.
func listCmd[R any](a *app, list, short string, ask func(context.Context, *client) (R, error), show func(R) view) *cobra.Command {
	return &cobra.Command{Use: list, Short: short, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		client, err := a.connect()
		if err != nil {
			return err
		}
		defer client.close()
		resp, err := ask(c.Context(), client)
		if err != nil {
			return err
		}
		return a.show(show(resp))
	}}
}

func hostsView(resp *pb.ListHostsResponse) view {
	v := view{message: resp, table: func(w io.Writer, wide bool) {
		fmt.Fprintln(w, "HOST\tZONE\tROOM\tENVIRONMENT\tROLES\tSTATE\tSERVER"+when(wide, "\tADDRESSES\tVERSION\tMISSING"))
		for _, r := range resp.GetHosts() {
			h := r.GetHost()
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s", h.GetName(), h.GetZone(), orDash(h.GetRoom()), h.GetEnvironment(),
				orDash(strings.Join(h.GetRole(), ",")), hostWord(r), orDash(r.GetServer()))
			fmt.Fprintln(w, when(wide, fmt.Sprintf("\t%s\t%s\t%s", strings.Join(h.GetAddress(), ","), orDash(r.GetVersion()), orDash(missing(h)))))
		}
	}}
	for _, r := range resp.GetHosts() {
		v.names = append(v.names, r.GetHost().GetName())
	}
	return v
}

// hostWord is whether a host is connected, what earlier runs have left there, and
// why nothing is injected there.
func hostWord(r *pb.Registered) string {
	var words []string
	if len(r.GetOpen()) > 0 {
		words = append(words, leftWord(r.GetOpen()))
	}
	if barred := barredWord(r.GetDamage(), r.GetConflict()); barred != "" {
		words = append(words, barred)
	}
	return text.Word(r.GetHost().GetPresence()) + when(len(words) > 0, " ("+strings.Join(words, ", ")+")")
}

// leftWord is how steps stand that a host has not shown clean.
func leftWord(open []*pb.OpenStep) string {
	for _, o := range open {
		if len(o.GetResidue()) > 0 {
			return "residue"
		}
	}
	return "unknown"
}

func when(condition bool, text string) string {
	if condition {
		return text
	}
	return ""
}

func missing(h *pb.Host) string {
	var names []string
	for _, a := range h.GetAbilities() {
		if a.GetState() == pb.AbilityState_ABILITY_STATE_MISSING {
			names = append(names, a.GetName())
		}
	}
	return strings.Join(names, ",")
}

func zonesView(resp *pb.ListZonesResponse) view {
	v := view{message: resp, table: func(w io.Writer, _ bool) {
		fmt.Fprintln(w, "ZONE\tHOSTS\tCONNECTED")
		for _, z := range resp.GetZones() {
			fmt.Fprintf(w, "%s\t%d\t%d\n", z.GetName(), z.GetHosts(), z.GetConnected())
		}
	}}
	for _, z := range resp.GetZones() {
		v.names = append(v.names, z.GetName())
	}
	return v
}

// placeWord is where the whole of a run is.
func placeWord(r *pb.RunSummary) string {
	if r.GetPlace() == pb.RunPlace_RUN_PLACE_UNSPECIFIED {
		return "state"
	}
	return text.Word(r.GetPlace())
}

func auditView(resp *pb.ListAuditRecordsResponse) view {
	v := view{message: resp, table: func(w io.Writer, wide bool) {
		fmt.Fprintln(w, "INDEX\tAT\tBY\tFROM\tACT\tOBJECT\tRESULT\tWHY"+when(wide, "\tHASH"))
		for _, r := range resp.GetAudit() {
			fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s%s\n", r.GetIndex(), clockTime(r.GetAtUnixNanos()), orDash(r.GetBy().GetName()),
				orDash(r.GetBy().GetFrom()), r.GetAct(), orDash(r.GetObject()), orDash(r.GetResult()), orDash(r.GetBy().GetWhy()),
				when(wide, fmt.Sprintf("\t%x", r.GetHash())))
		}
	}}
	for _, r := range resp.GetAudit() {
		v.names = append(v.names, fmt.Sprint(r.GetIndex()))
	}
	return v
}

// newGetFaultsCmd lists the language's faults; it asks nobody.
func newGetFaultsCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "faults", Short: "Kinds of fault", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var faults []described
			for _, n := range experiments.FaultNames() {
				faults = append(faults, described{n, summary(n)})
			}
			return a.show(listView("faults", faults))
		},
	}
}
