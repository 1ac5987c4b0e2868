package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"squall/experiments"
	"squall/experiments/quantity"
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
	a.addAsked(c, func() []*cobra.Command {
		return []*cobra.Command{
			newScheduleAddCmd(a),
			listCmd(a, "list", "Schedules, when each is next, and what became of its last slot", listSchedules, schedulesView),
			newScheduleShowCmd(a),
			newScheduleNextCmd(a),
			scheduleCmd(a, "history", "What became of a schedule's slots, oldest first", historyView),
			newSchedulePauseCmd(a, "pause", "Hold a schedule's slots back: they are skipped, on record", true),
			newSchedulePauseCmd(a, "resume", "Let a schedule's slots go on", false),
			newScheduleRunNowCmd(a), newScheduleRemoveCmd(a),
		}
	})
	return c
}

func newScheduleAddCmd(a *app) *cobra.Command {
	var req pb.PutScheduleRequest
	var aim []string
	c := &cobra.Command{
		Use: "add FILE|NAME[@DIGEST]", Short: "Keep an experiment and begin its runs by its `schedule`", Args: cobra.ExactArgs(1),
		Long:              "Keep an experiment and begin its runs by its `schedule`. A file is kept as `squall experiment put` keeps it; NAME is one that is kept. Its runs are of the version of now, whatever is put later. With --replace it takes the place of the schedule of its name, and slots that were dealt with stay so. It is refused where its plan is: a slot that comes then would begin nothing.",
		ValidArgsFunction: orFile(a.completeExperiments()),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if err := scheduled(args[0], &req); err != nil {
				return err
			}
			req.Id = newID()
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
	c.Flags().BoolVar(&req.Replace, "replace", false, "take the place of the schedule of its name")
	c.Flags().StringArrayVar(&aim, "aim", nil, aimUsage)
	c.Flags().StringVar(&req.Why, "why", "", "the reason, for the record")
	return c
}

// scheduled takes a file up, or the name of one that is kept where there is no
// such file.
func scheduled(nameOrPath string, req *pb.PutScheduleRequest) (err error) {
	req.File, req.Source, err = readExperiment(nameOrPath)
	if errors.Is(err, errNoExperiment) && !strings.HasSuffix(nameOrPath, ".yaml") && !strings.Contains(nameOrPath, "/") {
		req.File, req.Experiment = "", nameOrPath
		return nil
	}
	if err == nil {
		_, err = scheduleOf(req.GetFile(), req.GetSource())
	}
	if err != nil {
		return usage(err)
	}
	return nil
}

func addedView(resp *pb.PutScheduleResponse) view {
	s := resp.GetSchedule()
	return view{message: resp, names: []string{s.GetName()}, table: func(w io.Writer, _ bool) {
		fmt.Fprintf(w, "schedule %s is kept\n", s.GetName())
		nextTable(w, s.GetExperiment().GetSchedule().GetTimezone(), resp.GetNext())
		for _, p := range resp.GetWarnings() {
			fmt.Fprintf(w, "warning: %s\n", experiments.FormatProblem(p))
		}
	}}
}

// scheduleCmd is a command that shows one schedule.
func scheduleCmd(a *app, use, short string, show func(*pb.Scheduled) view) *cobra.Command {
	return &cobra.Command{
		Use: use + " NAME", Short: short, Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeSchedules(),
		RunE: func(c *cobra.Command, args []string) error {
			return showSchedule(c.Context(), a, args[0], show)
		},
	}
}

func showSchedule(ctx context.Context, a *app, name string, show func(*pb.Scheduled) view) error {
	return onSchedule(ctx, a, name, func(_ *client, s *pb.Scheduled) error { return a.show(show(s)) })
}

// onSchedule asks for one schedule whole, and goes on with it.
func onSchedule(ctx context.Context, a *app, name string, then func(*client, *pb.Scheduled) error) error {
	client, err := a.connect()
	if err != nil {
		return err
	}
	defer client.close()
	s, err := askWhole[pb.Scheduled](ctx, client, pb.ControlServiceClient.GetSchedule, &pb.GetScheduleRequest{Name: name})
	if err != nil {
		return err
	}
	return then(client, s)
}

func schedulesView(resp *pb.ListSchedulesResponse) view {
	v := view{message: resp, table: func(w io.Writer, wide bool) {
		fmt.Fprintln(w, "SCHEDULE\tEXPERIMENT\tWHEN\tZONE\tSTATE\tNEXT\tBEGUN\tLAST SLOT"+when(wide, "\tBY\tWHY"))
		for _, s := range resp.GetSchedules() {
			e := s.GetExperiment()
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s%s\n", s.GetName(), e.GetName(), e.GetSchedule().GetCron()+e.GetSchedule().GetEvery(),
				e.GetSchedule().GetTimezone(), scheduleWord(s), nextWord(s), s.GetBegun(), orDash(lastSlot(s)),
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

// nextWord is the next slot's time in the schedule's zone: - where there is none,
// ? where the server can't tell.
func nextWord(s *pb.Scheduled) string {
	if s.GetNextUnknown() != "" {
		return "?"
	}
	return orDash(s.GetNext())
}

func lastSlot(s *pb.Scheduled) string {
	h := s.GetHistory()
	if len(h) == 0 {
		return ""
	}
	return h[len(h)-1].GetSlot() + " " + text.Word(h[len(h)-1].GetOutcome())
}

func newScheduleShowCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "One schedule whole", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeSchedules(),
		RunE: func(c *cobra.Command, args []string) error {
			return onSchedule(c.Context(), a, args[0], func(client *client, s *pb.Scheduled) error {
				next, err := ask(c.Context(), client, pb.ControlServiceClient.NextSlots, &pb.NextSlotsRequest{Name: args[0], Count: 3})
				if err != nil {
					return err
				}
				return a.show(scheduleView(s, next))
			})
		},
	}
}

func scheduleView(s *pb.Scheduled, next *pb.NextSlotsResponse) view {
	return view{message: s, names: []string{s.GetName()}, table: func(w io.Writer, _ bool) {
		e := s.GetExperiment()
		fmt.Fprintf(w, "%s\t%s\n", s.GetName(), e.GetTitle())
		fmt.Fprintf(w, "  begins\t%s\n", whenWords(e.GetSchedule()))
		if s.GetPin() != nil {
			fmt.Fprintf(w, "  runs\t%s\n", pinName(s.GetPin()))
		}
		fmt.Fprintf(w, "  kept by\t%s\n", byLine(s.GetBy(), s.GetPutUnixNanos()))
		if p := s.GetPausedBy(); p != nil {
			fmt.Fprintf(w, "  paused by\t%s\n", byLine(p, s.GetPausedUnixNanos()))
		}
		waitingLines(w, s)
		fmt.Fprintf(w, "  begun\t%d%s\n\n", s.GetBegun(), when(schedule.Left(s) >= 0, fmt.Sprintf(", %d to go", schedule.Left(s))))
		nextView(s.GetName(), next).table(w, false)
		fmt.Fprintln(w)
		historyTable(w, s.GetHistory()[max(0, len(s.GetHistory())-5):], false)
	}}
}

// byLine says who did something, when, and why where that was said.
func byLine(by *pb.Principal, unixNanos int64) string {
	line := orDash(by.GetName()) + " at " + clockTime(unixNanos)
	if by.GetWhy() != "" {
		line += ": " + by.GetWhy()
	}
	return line
}

// whenWords says when a schedule's runs begin, by all of its rules.
func whenWords(s *pb.Schedule) string {
	words := s.GetCron() + s.GetEvery() + " in " + s.GetTimezone()
	for _, rule := range []struct{ word, value string }{
		{"within", s.GetWindow()},
		{"except", strings.Join(s.GetExcept(), " ")},
		{"until", s.GetUntil()},
		{"overlap", s.GetOverlap()},
		{"missed", s.GetMissed()},
		{"late", spanWord(s.GetLate())},
		{"skip when", s.GetSkipWhen()},
		{"retry", countWord(s.GetRetry())},
		{"retry after", spanWord(s.GetRetryAfter())},
		{"jitter", spanWord(s.GetJitter())},
		{"count", countWord(s.GetCount())},
		{"on fail", s.GetOnFail()},
	} {
		if rule.value != "" {
			words += ", " + rule.word + " " + rule.value
		}
	}
	return words
}

// spanWord and countWord are empty where the file leaves the value out.
func spanWord(s *pb.Span) string {
	if s == nil {
		return ""
	}
	return quantity.FormatSpan(s.GetNanos())
}

func countWord(n uint32) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func newSchedulePauseCmd(a *app, use, short string, paused bool) *cobra.Command {
	req := &pb.PauseScheduleRequest{Paused: paused}
	c := &cobra.Command{
		Use: use + " NAME", Short: short, Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeSchedules(),
		RunE: func(c *cobra.Command, args []string) error {
			req.Name = args[0]
			return askAndShow(c.Context(), a, pb.ControlServiceClient.PauseSchedule, req, func(resp *pb.PauseScheduleResponse) view {
				return sentenced(resp, args[0], pausedSentence(args[0], paused, resp))
			})
		},
	}
	c.Flags().StringVar(&req.Why, "why", "", "the reason, for the record")
	return c
}

func pausedSentence(name string, paused bool, resp *pb.PauseScheduleResponse) string {
	switch {
	case paused && resp.GetUnchanged():
		by := resp.GetPausedBy()
		if by.GetWhy() != "" {
			return fmt.Sprintf("schedule %s is paused already, by %s: %s", name, by.GetName(), by.GetWhy())
		}
		return fmt.Sprintf("schedule %s is paused already, by %s", name, by.GetName())
	case paused:
		return fmt.Sprintf("schedule %s is paused", name)
	case resp.GetUnchanged():
		return fmt.Sprintf("schedule %s is not paused", name)
	}
	return fmt.Sprintf("schedule %s goes on", name)
}

func newScheduleRemoveCmd(a *app) *cobra.Command {
	var req pb.RemoveScheduleRequest
	c := &cobra.Command{
		Use: "remove NAME", Short: "End a schedule; its runs stay", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeSchedules(),
		RunE: func(c *cobra.Command, args []string) error {
			req.Name, req.Id = args[0], newID()
			return askAndShow(c.Context(), a, pb.ControlServiceClient.RemoveSchedule, &req, func(resp *pb.RemoveScheduleResponse) view {
				sentence := "schedule " + args[0] + " is removed"
				for _, run := range resp.GetUnderWay() {
					sentence += "\nits run " + run + " goes on; end it with: squall undo " + run
				}
				return sentenced(resp, args[0], sentence)
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
		Use: "run-now NAME", Short: "Run a schedule's experiment now, beside its slots, and stay to the verdict", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeSchedules(),
		RunE: func(c *cobra.Command, args []string) error {
			return onSchedule(c.Context(), a, args[0], func(_ *client, s *pb.Scheduled) error {
				return a.carryOut(c.Context(), &pb.RunRequest{
					Id: newID(), Experiment: s.GetExperiment(), Aim: s.GetAim(), File: s.GetName() + ".yaml", Source: s.GetSource(), Why: o.why,
				}, o, nil)
			})
		},
	}
	o.register(c)
	return c
}
