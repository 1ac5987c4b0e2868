package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"squall/experiments/catalog"
	pb "squall/proto/squall/v1"
)

// completeLimit is how long the shell waits for live names: a person presses
// Tab and goes on typing.
const completeLimit = 300 * time.Millisecond

// completion names what may stand in a place of the command line.
type completion = cobra.CompletionFunc

// completeScenarios offers the catalog, beside files.
func completeScenarios(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return catalog.List(), cobra.ShellCompDirectiveDefault
}

// completeNames offers a fixed list.
func completeNames(names ...string) completion {
	return cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp)
}

// completeRuns offers the newest runs that the control plane knows, as the only argument.
func (a *app) completeRuns() completion {
	return onlyArgument(a.completeRunsBy((*pb.RunSummary).GetId))
}

// completeRunsBy offers what the newest runs have: their id, experiment or schedule.
func (a *app) completeRunsBy(of func(*pb.RunSummary) string) completion {
	return a.completeLive(func(ctx context.Context, c *client, add func(string)) {
		runs, _ := newestRuns(ctx, c, &pb.ListRunsRequest{}, pageSize)
		for _, r := range runs.GetRuns() {
			add(of(r))
		}
	})
}

// completeExperiments offers the files that are kept, as the only argument.
func (a *app) completeExperiments() completion {
	return onlyArgument(a.completeLive(func(ctx context.Context, c *client, add func(string)) {
		kept, _ := listExperiments(ctx, c)
		for _, k := range kept.GetExperiments() {
			add(k.GetName())
		}
	}))
}

// completeCalendars offers the calendars that are kept, as the first argument.
func (a *app) completeCalendars() completion {
	return completeListed(a, listCalendars, calendarsView)
}

// onlyArgument offers nothing behind the first argument.
func onlyArgument(offer completion) completion {
	return func(c *cobra.Command, args []string, start string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return offer(c, args, start)
	}
}

// orFile lets the shell offer files beside.
func orFile(offer completion) completion {
	return func(c *cobra.Command, args []string, start string) ([]cobra.Completion, cobra.ShellCompDirective) {
		names, directive := offer(c, args, start)
		if len(args) == 0 {
			directive = cobra.ShellCompDirectiveDefault
		}
		return names, directive
	}
}

// completeSchedules offers the schedules that are kept, as the only argument.
func (a *app) completeSchedules() completion {
	return completeListed(a, listSchedules, schedulesView)
}

// completeSinks offers the sinks that are kept, as the first argument.
func (a *app) completeSinks() completion { return completeListed(a, listSinks, sinksView) }

// completeHosts offers what a host of the registry has: its name, zone, room or roles.
func (a *app) completeHosts(of func(*pb.Host) []string) completion {
	return a.completeLive(func(ctx context.Context, c *client, add func(string)) {
		hosts, _ := listHosts(ctx, c)
		for _, r := range hosts.GetHosts() {
			for _, name := range of(r.GetHost()) {
				add(name)
			}
		}
	})
}

// completeLive asks the control plane; where it doesn't answer in time, nothing
// is offered, and nothing is said in the middle of somebody's line.
func (a *app) completeLive(each func(ctx context.Context, c *client, add func(string))) completion {
	return func(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		names := map[string]bool{}
		if client, err := a.connectForCompletion(); err == nil {
			ctx, cancel := context.WithTimeout(c.Context(), completeLimit)
			each(ctx, client, func(name string) { names[name] = name != "" })
			cancel()
			_ = client.close() // nothing was lost that anybody waits for
		}
		delete(names, "")
		return slices.Sorted(maps.Keys(names)), cobra.ShellCompDirectiveNoFileComp
	}
}

func (a *app) connectForCompletion() (*client, error) {
	if err := a.readSettings(nil); err != nil { // no command's own reading has run
		return nil, err
	}
	a.settings.Timeout = min(a.settings.Timeout, completeLimit)
	return a.connect()
}

// hostNames, hostZones and hostRooms are a host's, for completeHosts.
func hostNames(h *pb.Host) []string { return []string{h.GetName()} }
func hostZones(h *pb.Host) []string { return []string{h.GetZone()} }
func hostRooms(h *pb.Host) []string { return []string{h.GetRoom()} }

func hostWorkloads(h *pb.Host) []string {
	var names []string
	for _, w := range h.GetWorkloads() {
		names = append(names, w.GetName())
	}
	return names
}

// targetCompletions are those of the flags that select hosts.
func (a *app) targetCompletions() map[string]completion {
	return map[string]completion{
		"host": a.completeHosts(hostNames), "zone": a.completeHosts(hostZones), "room": a.completeHosts(hostRooms),
		"role": a.completeHosts((*pb.Host).GetRole), "workload": a.completeHosts(hostWorkloads),
	}
}

// completeFlags gives flags of a command their names; a flag that the command
// hasn't is passed over.
func completeFlags(c *cobra.Command, by map[string]completion) {
	for flag, names := range by {
		if c.Flags().Lookup(flag) != nil {
			_ = c.RegisterFlagCompletionFunc(flag, names) // fails only for a flag that is not there
		}
	}
}
