package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"squall/cli/show"
	"squall/proto/clock"
	"squall/proto/parts"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

func newStatusCmd(a *app) *cobra.Command {
	var local localFlags
	var watch bool
	c := &cobra.Command{
		Use: "status", Short: "What is injected right now, whose it is, when it ends, and what is left over", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			look := showStatus
			switch {
			case local.local:
				look = func(ctx context.Context, a *app) error {
					return local.do(a, func(l *localClient) error { return l.status(ctx) })
				}
			case watch:
				look = func(ctx context.Context, frame *app) error { return showPictures(ctx, frame, a.stdout) }
			}
			if watch {
				return a.watch(c.Context(), look)
			}
			return look(c.Context(), a)
		},
	}
	c.Flags().BoolVarP(&watch, "watch", "w", false, "show it anew each second, until Ctrl-C; without a terminal, one after the other")
	local.register(c.Flags())
	return c
}

// showStatus asks the control plane once.
func showStatus(ctx context.Context, a *app) error {
	client, err := a.connect()
	if err != nil {
		return err
	}
	defer client.close()
	_, err = a.tellStatus(ctx, client)
	return err
}

// tellStatus shows what is injected, and gives it back.
func (a *app) tellStatus(ctx context.Context, client *client) (*pb.Status, error) {
	st, err := client.status(ctx)
	if st == nil {
		return nil, err
	}
	v := view{message: st, table: func(w io.Writer, wide bool) { printStatus(w, st, wide) }}
	for _, r := range st.GetActive() {
		v.names = append(v.names, r.GetRun()+"/"+r.GetStep())
	}
	return st, cmp.Or(a.show(v), err)
}

// mostPictures is how many runs under way are drawn below a status.
const mostPictures = 3

// showPictures shows the status, and below it how the runs under way stand, as
// wide as the screen is now.
func showPictures(ctx context.Context, a *app, screen io.Writer) error {
	client, err := a.connect()
	if err != nil {
		return err
	}
	defer client.close()
	st, err := a.tellStatus(ctx, client)
	if err != nil || a.settings.Output != "table" && a.settings.Output != "wide" {
		return err
	}
	var o show.Options
	if f, ok := terminal(screen); ok {
		o.Width, _ = sizeOf(f)
		o.Color = colored()
	}
	drawn := 0
	for _, r := range st.GetRuns() {
		if r.GetState() == pb.RunState_RUN_STATE_DONE || drawn == mostPictures {
			continue
		}
		drawn++
		if live, err := askWhole[pb.LiveRun](ctx, client, pb.ControlServiceClient.Live, &pb.LiveRequest{Run: r.GetId()}); err == nil {
			fmt.Fprintf(a.stdout, "\n%s", show.Live(live, o))
		}
	}
	return nil
}

// status asks the servers one after the other for one whose word a leader
// confirms. Where none has it, what the one that knows most last knew comes with
// an error: it is no all-clear.
func (c *client) status(ctx context.Context) (*pb.Status, error) {
	var best *pb.Status
	err := c.call(ctx, c.timeout, func(ctx context.Context, control pb.ControlServiceClient) error {
		st, err := parts.Ask[pb.Status](ctx, control.Status, &pb.StatusRequest{})
		if err != nil {
			return err
		}
		if best == nil || !st.GetUnconfirmed() || st.GetIndex() > best.GetIndex() {
			best = st
		}
		if st.GetUnconfirmed() {
			return status.Error(codes.Unavailable, "no leader confirms what it knows")
		}
		return nil
	})
	return best, err
}

func printStatus(w io.Writer, st *pb.Status, wide bool) {
	now := time.Unix(0, st.GetClusterUnixNanos())
	nothing, none := "nothing", "0"
	if st.GetUnconfirmed() {
		nothing, none = "unknown", "unknown"
		fmt.Fprintf(w, "UNKNOWN\tno leader confirms this: it is what %s last knew\n", st.GetServer())
	}
	if len(st.GetActive()) == 0 {
		fmt.Fprintf(w, "INJECTED\t%s\n", nothing)
	}
	for _, s := range st.GetActive() {
		left := time.Unix(0, s.GetEndsUnixNanos()).Sub(now)
		fmt.Fprintf(w, "INJECTED\t%s\tends in %s\t%s\t%s\tby %s%s\n", s.GetFault(), span(left),
			some(s.GetHosts(), wide), s.GetRun(), orDash(starter(st, s.GetRun())),
			when(s.GetStanding() == pb.Standing_STANDING_UNKNOWN, "\tunknown: not heard from"))
	}
	if len(st.GetResidue()) == 0 {
		fmt.Fprintf(w, "RESIDUE\t%s\n", none)
	}
	for _, h := range st.GetResidue() {
		fmt.Fprintf(w, "RESIDUE\t%s\t%s\t%s\n", h.GetHost(), cleanWord(h), escape(cleanText(h)))
	}
	for _, b := range st.GetBarred() {
		for _, line := range barredLines(b) {
			fmt.Fprintf(w, "BARRED\t%s\t%s\n", escape(b.GetHost()), escape(line))
		}
	}
	if h := st.GetHalt(); h.GetEngaged() {
		fmt.Fprintf(w, "HALTED\t%s\t%s\tnew runs are refused until squall resume\n", h.GetId(), orDash(h.GetReason()))
	}
	for _, r := range st.GetRuns() {
		if wide || r.GetState() != pb.RunState_RUN_STATE_DONE {
			fmt.Fprintf(w, "RUN\t%s\t%s\t%s\t%s\n", r.GetId(), r.GetExperiment(), runWord(r), orDash(r.GetBy().GetName()))
		}
	}
	fmt.Fprintf(w, "HOSTS\t%d of %d connected, faults on %d\n", st.GetHostsConnected(), st.GetHostsKnown(), hit(st))
	fmt.Fprintf(w, "SERVERS\t%s\n", serverLine(st))
	astrayLine(w, st)
	if wide {
		fmt.Fprintf(w, "CLOCK\t%s\t±%s\tindex %d\tepoch %d\n", clockTime(st.GetClusterUnixNanos()),
			span(time.Duration(st.GetUncertaintyNanos())), st.GetIndex(), st.GetEpoch())
	}
}

// astrayLine says that cluster time is far off the servers' wall clocks, and what
// that means for schedules.
func astrayLine(w io.Writer, st *pb.Status) {
	off := time.Duration(st.GetWallOffNanos())
	if clock.Agrees(off, 0) {
		return
	}
	then := "slots of schedules wait until then, or until: squall operator time accept"
	if a := st.GetAcceptedTime(); a != nil && st.GetTimeDoubt() == "" {
		then = "slots of schedules begin by it, as accepted by " + byLine(a.GetBy(), a.GetAtUnixNanos())
	}
	fmt.Fprintf(w, "CLOCK\tcluster time is %s off the servers' wall clocks: set those that are wrong; it follows slowly; %s\n", span(off.Abs()), then)
}

// some lists hosts, a few by name unless all are asked for.
func some(hosts []string, all bool) string {
	const few = 3
	if all || len(hosts) <= few {
		return strings.Join(hosts, ",")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(hosts[:few], ","), len(hosts)-few)
}

func starter(st *pb.Status, run string) string {
	for _, r := range st.GetRuns() {
		if r.GetId() == run {
			return r.GetBy().GetName()
		}
	}
	return ""
}

func serverLine(st *pb.Status) string {
	var names []string
	for _, s := range st.GetServers() {
		name := s.GetId()
		switch {
		case s.GetLeader():
			name += " (leader)"
		case !s.GetReachable():
			name += " (unreachable)"
		}
		names = append(names, name)
	}
	if st.GetLeader() == "" {
		names = append(names, "no leader")
	}
	return strings.Join(names, ", ") + "; asked " + st.GetServer()
}

// runWord is a run's verdict, or how far it has come.
func runWord(r *pb.RunSummary) string {
	if r.GetState() == pb.RunState_RUN_STATE_DONE {
		return text.Word(r.GetVerdict())
	}
	return text.Word(r.GetState())
}

// hit is how many hosts hold a fault: connected is not the same as well.
func hit(st *pb.Status) int {
	hosts := map[string]bool{}
	for _, s := range st.GetActive() {
		for _, h := range s.GetHosts() {
			hosts[h] = true
		}
	}
	return len(hosts)
}
