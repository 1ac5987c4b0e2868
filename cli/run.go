package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"squall/experiments"
	kind "squall/experiments/fault"
	pb "squall/proto/squall/v1"
)

// runOptions are what `run` and `inject` have in common.
type runOptions struct {
	why    string
	detach bool
	yes    bool
	aim    []string
	digest string
	// seed is that of every random choice; 0 takes the file's, or draws one.
	seed uint64
}

func newRunCmd(a *app) *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use:   "run FILE|SCENARIO",
		Short: "Run an experiment, and stay to the verdict",
		Long:  "Run an experiment and stay to the verdict. Ctrl-C asks whether to undo this run, detach, halt everything or go on, and undoes the run when nobody answers; a second Ctrl-C leaves at once.",
		Args:  cobra.ExactArgs(1),

		Annotations:       reportOutputs,
		ValidArgsFunction: completeScenarios,
		RunE: func(c *cobra.Command, args []string) error {
			req, err := a.runRequest(args[0], o)
			if err != nil {
				return err
			}
			return a.carryOut(c.Context(), req, o, nil)
		},
	}
	o.register(c)
	c.Flags().StringArrayVar(&o.aim, "aim", nil, aimUsage)
	c.Flags().StringVar(&o.digest, "digest", "", "refuse when the plan's digest is another; give the plan's seed with it")
	c.Flags().Uint64Var(&o.seed, "seed", 0, seedUsage)
	return c
}

func (o *runOptions) register(c *cobra.Command) {
	c.Flags().StringVar(&o.why, "why", "", "the reason, for the record")
	c.Flags().BoolVar(&o.detach, "detach", false, "do not stay to the verdict")
	c.Flags().BoolVar(&o.yes, "yes", false, "do not ask")
}

func (a *app) runRequest(file string, o runOptions) (*pb.RunRequest, error) {
	name, src, err := readExperiment(file)
	if err != nil {
		return nil, usage(err)
	}
	if req, ok := savedPlan(src); ok {
		req.Id, req.Why = newID(), o.why
		return req, nil
	}
	e, _, problems := experiments.Decode(name, src)
	if err := problems.Err(); err != nil {
		return nil, usage(err)
	}
	aim, err := parseAim(o.aim)
	if err != nil {
		return nil, err
	}
	if o.seed != 0 {
		e.Seed = o.seed
	}
	if o.digest != "" && e.GetSeed() == 0 {
		return nil, usagef("--digest %s needs the seed of that plan, which draws one where neither file nor flag names it: add --seed", o.digest)
	}
	return &pb.RunRequest{Id: newID(), Experiment: e, Aim: aim, File: name, Source: src, Why: o.why, Digest: o.digest}, nil
}

// newID is an id under which a command takes effect once, however often it is sent.
func newID() string { return strings.ToLower(rand.Text()) }

// carryOut starts a run and follows it: to the verdict, or with --detach until
// active says so.
func (a *app) carryOut(ctx context.Context, req *pb.RunRequest, o runOptions, active func(*pb.Event, uint32) bool) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.close()
	if err := a.confirm(ctx, c, req, o.yes); err != nil {
		return err
	}
	if err := aimAtLeader(ctx, c, req); err != nil {
		return err
	}
	resp, err := ask(ctx, c, pb.ControlServiceClient.Run, req)
	if err != nil {
		return err
	}
	told := func(list []*pb.Problem) []*pb.Problem { return list }
	if req.GetAdHoc() {
		told = asFlags
	}
	if err := refused(told(resp.GetRefused())); err != nil {
		return err
	}
	for _, w := range told(resp.GetWarnings()) {
		fmt.Fprintln(a.stderr, "warning:", experiments.FormatProblem(w))
	}
	if o.detach && active == nil {
		fmt.Fprintln(a.stdout, resp.GetRun())
		return nil
	}
	f := &follower{app: a, client: c, run: resp.GetRun(), started: resp, detach: o.detach, active: active}
	return f.follow(ctx)
}

// confirm asks before the power of every zone is cut, outside the lab.
func (a *app) confirm(ctx context.Context, c *client, req *pb.RunRequest, yes bool) error {
	if yes || !req.GetExperiment().GetGuardrails().GetAllowRegionWide() || !cutsPower(req.GetExperiment()) {
		return nil
	}
	hosts, err := c.hosts(ctx)
	if err != nil || onlyLab(hosts) {
		return err
	}
	in, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return usagef("%s cuts the power of a whole region, and nobody can be asked; add --yes", req.GetExperiment().GetName())
	}
	fmt.Fprintf(a.stderr, "%s cuts the power of a whole region. Type its name to go on: ", req.GetExperiment().GetName())
	var answer string
	if _, err := fmt.Fscanln(in, &answer); err != nil || answer != req.GetExperiment().GetName() {
		return usage(errors.New("not confirmed, nothing was started"))
	}
	return nil
}

func cutsPower(e *pb.Experiment) bool {
	for _, phase := range e.GetTimeline() {
		for _, step := range phase.GetFaults() {
			if kind.TakesHosts(step.GetFault(), nil) {
				return true
			}
		}
	}
	return false
}

func onlyLab(hosts []*pb.Registered) bool {
	for _, h := range hosts {
		if h.GetHost().GetEnvironment() != "lab" {
			return false
		}
	}
	return true
}

// finish prints a run's report and ends with its exit code.
func (a *app) finish(ctx context.Context, c *client, run string) error {
	report, err := c.report(ctx, run)
	if err != nil {
		return err
	}
	if a.settings.Output == "csv" {
		err = a.windowsTable(ctx, c, report)
	} else {
		err = a.showReport(report, c.barredOf(ctx, touched(report)))
	}
	if err != nil {
		return err
	}
	return exit(reportExit(report))
}
