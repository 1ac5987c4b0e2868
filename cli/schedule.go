package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"squall/experiments"
	"squall/experiments/schedule"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

func newScheduleCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "schedule", Short: "Begin runs by the calendar", Args: cobra.NoArgs,
		Long: "Begin runs by the calendar. The control plane keeps an experiment that has a `schedule`, plans it anew at each slot, and begins each slot once, whatever becomes of the leader. What begins nothing is on record with its reason.",
		RunE: func(*cobra.Command, []string) error {
			return usagef("do what with schedules? add, list, show, next, history, pause, resume, run-now or remove")
		},
	}
	c.AddCommand(
		newScheduleAddCmd(a),
		listCmd(a, "list", "Schedules, when each is next, and what became of its last slot", listSchedules, schedulesView),
		scheduleCmd(a, "show", "One schedule whole", scheduleView),
		newScheduleNextCmd(a),
		scheduleCmd(a, "history", "What became of a schedule's slots, oldest first", historyView),
		newSchedulePauseCmd(a, "pause", "Hold a schedule's slots back: they are skipped, on record", true),
		newSchedulePauseCmd(a, "resume", "Let a schedule's slots go on", false),
		newScheduleRunNowCmd(a), newScheduleRemoveCmd(a),
	)
	return c
}

func newScheduleAddCmd(a *app) *cobra.Command {
	var req pb.PutScheduleRequest
	var aim []string
	c := &cobra.Command{
		Use: "add FILE", Short: "Keep an experiment and begin its runs by its `schedule`", Args: cobra.ExactArgs(1),
		Long: "Keep an experiment and begin its runs by its `schedule`. One of the same name is replaced; slots that were dealt with stay so. It is refused where its plan is: a slot that comes then would begin nothing.",
		RunE: func(c *cobra.Command, args []string) (err error) {
			if req.File, req.Source, err = readExperiment(args[0]); err != nil {
				return usage(err)
			}
			if _, _, problems := experiments.Decode(req.GetFile(), req.GetSource()); len(problems) > 0 {
				return usage(problems)
			}
			if req.Aim, err = parseAim(aim); err != nil {
				return err
			}
			client, err := a.connect()
			if err != nil {
				return err
			}
			defer client.close()
			resp, err := ask(c.Context(), client, pb.ControlServiceClient.PutSchedule, &req)
			if err != nil {
				return err
			}
			if err := refused(resp.GetRefused()); err != nil {
				return err
			}
			return a.show(addedView(resp))
		},
	}
	c.Flags().StringVar(&req.Name, "name", "", "the schedule's name; the experiment's where it is left out")
	c.Flags().StringArrayVar(&aim, "aim", nil, aimUsage)
	c.Flags().StringVar(&req.Why, "why", "", "the reason, for the record")
	return c
}

func addedView(resp *pb.PutScheduleResponse) view {
	s := resp.GetSchedule()
	return view{message: resp, names: []string{s.GetName()}, table: func(w io.Writer, _ bool) {
		fmt.Fprintf(w, "schedule %s is kept\n", s.GetName())
		nextTable(w, s, time.Now(), 3)
		for _, p := range resp.GetWarnings() {
			fmt.Fprintf(w, "warning: %s\n", p.GetMessage())
		}
	}}
}

// scheduleCmd is a command that shows one schedule.
func scheduleCmd(a *app, use, short string, show func(*pb.Scheduled) view) *cobra.Command {
	return &cobra.Command{
		Use: use + " NAME", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return showSchedule(c.Context(), a, args[0], show)
		},
	}
}

func showSchedule(ctx context.Context, a *app, name string, show func(*pb.Scheduled) view) error {
	client, err := a.connect()
	if err != nil {
		return err
	}
	defer client.close()
	s, err := getSchedule(ctx, client, name)
	if err != nil {
		return err
	}
	return a.show(show(s))
}

// getSchedule is one schedule whole.
func getSchedule(ctx context.Context, c *client, name string) (*pb.Scheduled, error) {
	return askWhole[pb.Scheduled](ctx, c, pb.ControlServiceClient.GetSchedule, &pb.GetScheduleRequest{Name: name})
}

func schedulesView(resp *pb.ListSchedulesResponse) view {
	v := view{message: resp, table: func(w io.Writer, wide bool) {
		fmt.Fprintln(w, "SCHEDULE\tEXPERIMENT\tWHEN\tZONE\tSTATE\tNEXT\tBEGUN\tLAST SLOT"+when(wide, "\tBY\tWHY"))
		for _, s := range resp.GetSchedules() {
			e := s.GetExperiment()
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s%s\n", s.GetName(), e.GetName(), e.GetSchedule().GetCron()+e.GetSchedule().GetEvery(),
				e.GetSchedule().GetTimezone(), scheduleWord(s), orDash(nextCivil(s)), s.GetBegun(), orDash(lastSlot(s)),
				when(wide, "\t"+orDash(s.GetBy().GetName())+"\t"+orDash(s.GetBy().GetWhy())))
		}
	}}
	for _, s := range resp.GetSchedules() {
		v.names = append(v.names, s.GetName())
	}
	return v
}

func scheduleWord(s *pb.Scheduled) string {
	if s.GetPausedBy() != nil {
		return "paused"
	}
	return "active"
}

// nextCivil is the next slot's time in the schedule's zone; empty where there is none.
func nextCivil(s *pb.Scheduled) string {
	c, err := schedule.New(s.GetExperiment().GetSchedule())
	if err != nil {
		return ""
	}
	for slot := range c.Since(time.Now()) {
		if slot.Skip == "" {
			return slot.Civil
		}
	}
	return ""
}

func lastSlot(s *pb.Scheduled) string {
	h := s.GetHistory()
	if len(h) == 0 {
		return ""
	}
	return h[len(h)-1].GetSlot() + " " + text.Word(h[len(h)-1].GetOutcome())
}

func scheduleView(s *pb.Scheduled) view {
	return view{message: s, names: []string{s.GetName()}, table: func(w io.Writer, _ bool) {
		e := s.GetExperiment()
		fmt.Fprintf(w, "%s\t%s\n", s.GetName(), e.GetTitle())
		fmt.Fprintf(w, "  kept by\t%s at %s: %s\n", orDash(s.GetBy().GetName()), clockTime(s.GetPutUnixNanos()), orDash(s.GetBy().GetWhy()))
		if p := s.GetPausedBy(); p != nil {
			fmt.Fprintf(w, "  paused by\t%s at %s: %s\n", p.GetName(), clockTime(s.GetPausedUnixNanos()), orDash(p.GetWhy()))
		}
		fmt.Fprintf(w, "  begun\t%d\n", s.GetBegun())
		nextTable(w, s, time.Now(), 3)
		historyTable(w, s.GetHistory()[max(0, len(s.GetHistory())-5):])
	}}
}

func historyView(s *pb.Scheduled) view {
	v := view{message: &pb.Scheduled{Name: s.GetName(), History: s.GetHistory()}, table: func(w io.Writer, _ bool) { historyTable(w, s.GetHistory()) }}
	for _, h := range s.GetHistory() {
		v.names = append(v.names, h.GetSlot())
	}
	return v
}

func historyTable(w io.Writer, history []*pb.SlotRecord) {
	if len(history) == 0 {
		fmt.Fprintln(w, "no slot has come yet")
		return
	}
	fmt.Fprintln(w, "SLOT\tBECAME\tRUN\tWHY")
	for _, h := range history {
		slot := h.GetSlot()
		if h.GetCount() > 1 {
			slot = fmt.Sprintf("%d from %s to %s", h.GetCount(), h.GetFrom(), slot)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", slot, text.Word(h.GetOutcome()), orDash(h.GetRun()), orDash(h.GetWhy()))
	}
}

func newScheduleNextCmd(a *app) *cobra.Command {
	count := 10
	c := &cobra.Command{
		Use: "next NAME|FILE", Short: "The next slots, in the schedule's zone and in UTC, and what hinders each", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if count < 1 || count > 1000 {
				return usagef("--count %d: from 1 to 1000", count)
			}
			if s, err := scheduleOfFile(args[0]); !errors.Is(err, fs.ErrNotExist) {
				if err != nil {
					return usage(err)
				}
				return a.show(nextView(s, count))
			}
			return showSchedule(c.Context(), a, args[0], func(s *pb.Scheduled) view { return nextView(s, count) })
		},
	}
	c.Flags().IntVar(&count, "count", count, "how many")
	return c
}

// scheduleOfFile is what a schedule of a file would be; the error is
// fs.ErrNotExist where there is no such file.
func scheduleOfFile(path string) (*pb.Scheduled, error) {
	src, err := readFile(path)
	if err != nil {
		return nil, err
	}
	e, _, problems := experiments.Decode(path, src)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	if e.GetSchedule() == nil {
		return nil, fmt.Errorf("%s does not say when it begins\n  fix: add `schedule: { every: first tuesday at 14:30, timezone: UTC }`", path)
	}
	return &pb.Scheduled{Name: e.GetName(), Experiment: e}, nil
}

func nextView(s *pb.Scheduled, count int) view {
	v := view{message: &pb.Scheduled{Name: s.GetName(), History: upcoming(s, time.Now(), count)}, table: func(w io.Writer, _ bool) { nextTable(w, s, time.Now(), count) }}
	for _, slot := range upcoming(s, time.Now(), count) {
		v.names = append(v.names, slot.GetSlot())
	}
	return v
}

// upcoming are the next slots of a schedule, with why one is skipped.
func upcoming(s *pb.Scheduled, now time.Time, count int) []*pb.SlotRecord {
	c, err := schedule.New(s.GetExperiment().GetSchedule())
	if err != nil {
		return nil
	}
	var all []*pb.SlotRecord
	for slot := range c.Since(now) {
		r := &pb.SlotRecord{Slot: slot.Civil, Why: slot.Skip, AtUnixNanos: slot.Start.UnixNano()}
		if r.GetWhy() == "" && s.GetPausedBy() != nil {
			r.Why = "the schedule is paused by " + s.GetPausedBy().GetName()
		}
		if all = append(all, r); len(all) == count {
			break
		}
	}
	return all
}

func nextTable(w io.Writer, s *pb.Scheduled, now time.Time, count int) {
	slots := upcoming(s, now, count)
	if len(slots) == 0 {
		fmt.Fprintln(w, "no slot is to come")
		return
	}
	fmt.Fprintf(w, "NEXT IN %s\tUTC\tHINDERED BY\n", strings.ToUpper(s.GetExperiment().GetSchedule().GetTimezone()))
	for _, slot := range slots {
		fmt.Fprintf(w, "%s\t%s\t%s\n", slot.GetSlot(), time.Unix(0, slot.GetAtUnixNanos()).UTC().Format(schedule.CivilLayout), orDash(slot.GetWhy()))
	}
}

func newSchedulePauseCmd(a *app, use, short string, paused bool) *cobra.Command {
	req := &pb.PauseScheduleRequest{Paused: paused}
	c := &cobra.Command{
		Use: use + " NAME", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			req.Name = args[0]
			return askAndShow(c.Context(), a, pb.ControlServiceClient.PauseSchedule, req, func(resp *pb.PauseScheduleResponse) view {
				return sentenced(resp, args[0], "schedule "+args[0]+map[bool]string{true: " is paused", false: " goes on"}[paused])
			})
		},
	}
	c.Flags().StringVar(&req.Why, "why", "", "the reason, for the record")
	return c
}

func newScheduleRemoveCmd(a *app) *cobra.Command {
	var req pb.RemoveScheduleRequest
	c := &cobra.Command{
		Use: "remove NAME", Short: "End a schedule; its runs stay", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			req.Name = args[0]
			return askAndShow(c.Context(), a, pb.ControlServiceClient.RemoveSchedule, &req, func(resp *pb.RemoveScheduleResponse) view {
				return sentenced(resp, args[0], "schedule "+args[0]+" is removed")
			})
		},
	}
	c.Flags().StringVar(&req.Why, "why", "", "the reason, for the record")
	return c
}

// sentenced is an answer that is one sentence.
func sentenced(message any, name, sentence string) view {
	return view{message: message, names: []string{name}, table: func(w io.Writer, _ bool) { fmt.Fprintln(w, sentence) }}
}

func newScheduleRunNowCmd(a *app) *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use: "run-now NAME", Short: "Run a schedule's experiment now, beside its slots, and stay to the verdict", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.connect()
			if err != nil {
				return err
			}
			defer client.close()
			s, err := getSchedule(c.Context(), client, args[0])
			if err != nil {
				return err
			}
			return a.carryOut(c.Context(), &pb.RunRequest{
				Id: newID(), Experiment: s.GetExperiment(), Aim: s.GetAim(), File: s.GetName() + ".yaml", Source: s.GetSource(), Why: o.why,
			}, o, nil)
		},
	}
	o.register(c)
	return c
}
