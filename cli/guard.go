package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"squall/experiments"
	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

func newGuardCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "guard", Short: "Guardrails of the cluster, which all runs together keep",
		Long: "Guardrails of the cluster, which all runs together keep, whatever their files say. None is there until somebody sets it. They are judged when a run is let in, and each second while it goes on. An exception lets one file or plan past them, for a while.",
	}
	a.addAsked(c, func() []*cobra.Command {
		return []*cobra.Command{newGuardListCmd(a), newGuardSetCmd(a), newGuardExplainCmd(a), newGuardRemoveCmd(a), newGuardExceptCmd(a)}
	})
	return c
}

// guardOptions are what `guard set` is told.
type guardOptions struct {
	maxZones, hostsAMinute    uint32
	majorityOf, maxShare, of  string
	gap, timezone             string
	protect, closed, environs []string
	reason                    string
	endRuns                   bool
}

// guardRules are the flags that are a rule: a guardrail has one.
var guardRules = []string{"max-zones", "majority-of", "max-share", "hosts-a-minute", "gap", "protect", "closed"}

func newGuardSetCmd(a *app) *cobra.Command {
	var o guardOptions
	c := &cobra.Command{
		Use: "set NAME", Short: "Set a guardrail, in the place of the one of this name", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeGuards(),
		Long: "Set a guardrail of one rule, in the place of the one of this name. It holds in each environment by itself. Runs under way that would break it stand against it, and nothing is changed; with --end-runs they are ended instead: as aborted, or as error where they had not fired. Schedules whose slots it will refuse are named, and stay.",
		Example: "  squall guard set one-zone --max-zones 1 --reason 'never two zones'\n" +
			"  squall guard set quorum --majority-of db\n" +
			"  squall guard set web --max-share 20% --of role=web\n" +
			"  squall guard set office --closed 'mon-fri 09:00-17:00' --timezone Europe/Paris",
		RunE: func(c *cobra.Command, args []string) error {
			g, err := o.guard(c, args[0])
			if err != nil {
				return err
			}
			req := &pb.SetGuardRequest{Id: newID(), Guard: g, Reason: o.reason, EndRuns: o.endRuns}
			return askAndShow(c.Context(), a, pb.ControlServiceClient.SetGuard, req, func(resp *pb.SetGuardResponse) view { return guardSetView(args[0], resp) })
		},
	}
	f := c.Flags()
	f.Uint32Var(&o.maxZones, "max-zones", 0, "the most zones with a fault at one time; 1 is never two")
	f.StringVar(&o.majorityOf, "majority-of", "", "a role of which never a majority is hurt or lost; * is each role")
	f.StringVar(&o.maxShare, "max-share", "", "the most of the fleet, a zone or a role with a fault at one time, such as 20%")
	f.StringVar(&o.of, "of", "fleet", "what --max-share is of: fleet, zone (each), zone=NAME, role (each) or role=NAME")
	f.Uint32Var(&o.hostsAMinute, "hosts-a-minute", 0, "the most hosts on which faults begin within any minute")
	f.StringVar(&o.gap, "gap", "", "the least time between the end of a run and the next one, such as 30m")
	f.StringArrayVar(&o.protect, "protect", nil, "hosts that no fault touches, as environment=…, role=…, zone=…, room=…, host=… or a label; may be repeated")
	f.StringArrayVar(&o.closed, "closed", nil, "hours in which nothing runs, as 'mon-fri 09:00-17:00' or 2026-12-24..2027-01-02; may be repeated")
	f.StringVar(&o.timezone, "timezone", "", "whose hours they are, such as Europe/Paris; required with --closed")
	f.StringArrayVar(&o.environs, "environment", nil, "an environment in which it holds; may be repeated; left out, in every one")
	f.StringVar(&o.reason, "reason", "", "why, for the record")
	f.BoolVar(&o.endRuns, "end-runs", false, "end the runs under way that break it")
	return c
}

// guard is the guardrail that the flags say.
func (o *guardOptions) guard(c *cobra.Command, name string) (*pb.Guard, error) {
	var given []string
	for _, rule := range guardRules {
		if c.Flags().Changed(rule) {
			given = append(given, "--"+rule)
		}
	}
	if len(given) != 1 {
		return nil, usagef("a guardrail has one rule, and there are %d: %s\n  fix: give one of --%s; set the others under names of their own",
			len(given), orDash(strings.Join(given, " ")), strings.Join(guardRules, ", --"))
	}
	for flag, rule := range map[string]string{"of": "--max-share", "timezone": "--closed"} {
		if c.Flags().Changed(flag) && given[0] != rule {
			return nil, usagef("--%s says nothing without %s\n  fix: leave it out", flag, rule)
		}
	}
	g := &pb.Guard{Name: name, Environments: o.environs}
	return g, o.rule(g, given[0])
}

func (o *guardOptions) rule(g *pb.Guard, flag string) error {
	switch flag {
	case "--max-zones":
		g.Rule = &pb.Guard_MaxZones{MaxZones: o.maxZones}
	case "--majority-of":
		g.Rule = &pb.Guard_MajorityOf{MajorityOf: o.majorityOf}
	case "--max-share":
		most, err := quantity.ParseShare(o.maxShare)
		if err != nil {
			return wrongFlag(flag, err)
		}
		of, name, _ := strings.Cut(o.of, "=")
		g.Rule = &pb.Guard_MaxShare{MaxShare: &pb.GuardShare{Of: of, Name: name, Most: most}}
	case "--hosts-a-minute":
		g.Rule = &pb.Guard_HostsAMinute{HostsAMinute: o.hostsAMinute}
	case "--gap":
		gap, err := quantity.ParseSpan(o.gap)
		if err != nil {
			return wrongFlag(flag, err)
		}
		g.Rule = &pb.Guard_GapNanos{GapNanos: gap.GetNanos()}
	case "--protect":
		g.Rule = &pb.Guard_Protect{Protect: &pb.GuardProtect{Match: o.protect}}
	default:
		g.Rule = &pb.Guard_Closed{Closed: &pb.GuardClosed{Hours: o.closed, Timezone: o.timezone}}
	}
	return nil
}

// wrongFlag refuses a flag's value, and says what to write.
func wrongFlag(flag string, err error) error {
	if m, is := errors.AsType[*quantity.Mistake](err); is {
		return usagef("%s: %s\n  fix: %s", flag, m.Message, m.Fix)
	}
	return usagef("%s: %v", flag, err)
}

func guardSetView(name string, resp *pb.SetGuardResponse) view {
	return view{message: resp, names: []string{name}, table: func(w io.Writer, _ bool) {
		fmt.Fprintf(w, "guardrail %s is set\n", name)
		for _, p := range resp.GetWarnings() {
			fmt.Fprintf(w, "warning: %s\n", experiments.FormatProblem(p))
		}
		for _, r := range resp.GetEnded() {
			fmt.Fprintf(w, "ends run %s: %s\n", escape(r.GetRun()), escape(r.GetWhy()))
		}
		for _, s := range resp.GetSchedules() {
			fmt.Fprintf(w, "hinders schedule %s, first at %s: %s\n", escape(s.GetSchedule()), s.GetSlot(), escape(s.GetWhy()))
		}
		if n := resp.GetSchedulesUnseen(); n > 0 {
			fmt.Fprintf(w, "%d schedules were not looked at; see what hinders one with: squall schedule next NAME\n", n)
		}
	}}
}

func newGuardRemoveCmd(a *app) *cobra.Command {
	return removeCmd(a, "remove NAME", "Drop a guardrail", "guardrail", a.completeGuards(), pb.ControlServiceClient.RemoveGuard,
		func(name, reason string) *pb.RemoveGuardRequest {
			return &pb.RemoveGuardRequest{Id: newID(), Name: name, Reason: reason}
		})
}

func newGuardExceptCmd(a *app) *cobra.Command {
	var req pb.ExceptGuardsRequest
	var length string
	c := &cobra.Command{
		Use: "except FILE|DIGEST", Short: "Let one file or plan past guardrails, for a while", Args: cobra.ExactArgs(1),
		Long:    "Let one file or plan past guardrails of the cluster, for a while. It goes by SHA-256: that of a file, whatever its plan will be, also where a schedule pins it; or that of a plan that was saved with `plan --out`. A changed file is another one. A run that an exception let in is let go on when that has ended. A restore of a snapshot takes all exceptions back.",
		Example: "  squall guard except region-loss.yaml --for 2h --guard one-zone --reason 'yearly replay, agreed with the owners'",
		RunE: func(c *cobra.Command, args []string) (err error) {
			if req.Digest, err = digestOf(args[0]); err != nil {
				return err
			}
			if !req.GetRevoke() {
				span, err := quantity.ParseSpan(length)
				if err != nil {
					return wrongFlag("--for", err)
				}
				req.ForNanos = span.GetNanos()
			}
			req.Id = newID()
			return askAndShow(c.Context(), a, pb.ControlServiceClient.ExceptGuards, &req, exceptedView)
		},
	}
	c.Flags().StringVar(&length, "for", "", "for how long, such as 2h; required")
	c.Flags().StringArrayVar(&req.Guards, "guard", nil, "a guardrail that it is let past; may be repeated; left out, all of them")
	c.Flags().StringVar(&req.Reason, "reason", "", "why, for the record; required")
	c.Flags().BoolVar(&req.Revoke, "revoke", false, "take the exception back")
	return c
}

// wholeDigest is how a SHA-256 is written.
var wholeDigest = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{64}$`) })

// digestOf is a digest as it was given, or that of a file or of a saved plan.
func digestOf(arg string) (string, error) {
	if wholeDigest().MatchString(arg) {
		return arg, nil
	}
	_, src, err := readExperiment(arg)
	if err != nil {
		return "", usage(err)
	}
	if req, is := savedPlan(src); is {
		return req.GetDigest(), nil
	}
	sum := sha256.Sum256(src)
	return hex.EncodeToString(sum[:]), nil
}

func exceptedView(resp *pb.ExceptGuardsResponse) view {
	e := resp.GetException()
	return view{message: resp, names: []string{e.GetDigest()}, table: func(w io.Writer, _ bool) {
		if e.GetUntilUnixNanos() == 0 {
			fmt.Fprintf(w, "the exception for %s is taken back\n", e.GetDigest())
			return
		}
		fmt.Fprintf(w, "%s is let past %s until %s\n", e.GetDigest(), guardsWord(e), clockTime(e.GetUntilUnixNanos()))
	}}
}

func guardsWord(e *pb.GuardException) string {
	if len(e.GetGuards()) == 0 {
		return "every guardrail"
	}
	return strings.Join(e.GetGuards(), ", ")
}

func newGuardExplainCmd(a *app) *cobra.Command {
	var aim []string
	c := &cobra.Command{
		Use: "explain FILE|SCENARIO|RUN", Short: "What each guardrail says about a plan, on the hosts of now", Args: cobra.ExactArgs(1), ValidArgsFunction: orFile(a.completeRuns()),
		Long: "What each guardrail of the cluster says about the plan of a file, or of a run that is kept, if it began now beside the other runs: the numbers, the zones and hosts that they are of, and who set it. Exit code 4 where one would refuse it.",
		RunE: func(c *cobra.Command, args []string) error { return a.explainGuards(c.Context(), args[0], aim) },
	}
	c.Flags().StringArrayVar(&aim, "aim", nil, aimUsage)
	return c
}

func (a *app) explainGuards(ctx context.Context, name string, aims []string) error {
	aim, err := parseAim(aims)
	if err != nil {
		return err
	}
	req := &pb.ExplainGuardsRequest{Run: name}
	if _, _, err := readExperiment(name); !errors.Is(err, errNoExperiment) && !errors.Is(err, fs.ErrNotExist) {
		file, _, err := decodeExperiment(name)
		if err != nil {
			return err
		}
		req = &pb.ExplainGuardsRequest{Experiment: file.GetExperiment(), Source: file.GetSource(), File: file.GetFile(), Aim: file.GetAim()}
		if len(aim) > 0 {
			req.Aim = aim
		}
	}
	client, err := a.connect()
	if err != nil {
		return err
	}
	defer client.close()
	resp, err := ask(ctx, client, pb.ControlServiceClient.ExplainGuards, req)
	if err != nil {
		return err
	}
	if err := a.show(opinionsView(name, resp)); err != nil {
		return err
	}
	return exit(guardExitCode(resp))
}

func guardExitCode(resp *pb.ExplainGuardsResponse) int {
	if len(resp.GetProblems()) > 0 {
		return planExitCode(&pb.Plan{Problems: resp.GetProblems()})
	}
	for _, o := range resp.GetOpinions() {
		if o.GetStanding() == pb.GuardStanding_GUARD_STANDING_BROKEN {
			return experiments.ExitCode(pb.Refusal_REFUSAL_GUARDRAIL)
		}
	}
	return 0
}
