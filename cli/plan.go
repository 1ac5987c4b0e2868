package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"squall/cli/show"
	"squall/experiments"
	"squall/experiments/plan"
	"squall/proto/probe"
	pb "squall/proto/squall/v1"
)

const seedUsage = "the seed of every random choice; 0 takes the file's, or draws one"

// planOptions are what `plan` is told.
type planOptions struct {
	fleet, out string
	aim        []string
	seed       uint64
}

func newPlanCmd(a *app) *cobra.Command {
	var o planOptions
	c := &cobra.Command{
		Use:   "plan FILE|SCENARIO",
		Short: "Say who would be hit, when, and how it is undone; touch nothing",
		Long: "Resolve an experiment against the registry, or with --fleet against a file of hosts and without any server, and say what a run would do. " +
			"Each probe is tried once from where it would run, which shows its present value and whether the steady state would be met now. " +
			"A plan that was saved with --out is run by `squall run FILE`, which refuses when the targets have changed since. " +
			"Exit code 2 when the file is wrong or selects nothing, 4 when a run would be refused.",
		Args: cobra.ExactArgs(1),

		ValidArgsFunction: completeScenarios,
		RunE:              func(c *cobra.Command, args []string) error { return a.plan(c.Context(), args[0], o) },
	}
	c.Flags().StringVar(&o.fleet, "fleet", "", "a fleet file to plan against, instead of the registry")
	c.Flags().StringArrayVar(&o.aim, "aim", nil, aimUsage)
	c.Flags().StringVar(&o.out, "out", "", "save the plan, to be run later")
	c.Flags().Uint64Var(&o.seed, "seed", 0, seedUsage)
	return c
}

func (a *app) plan(ctx context.Context, name string, o planOptions) error {
	req, at, err := decodeExperiment(name)
	if err != nil {
		return err
	}
	aim, err := parseAim(o.aim)
	if err != nil {
		return err
	}
	if len(aim) > 0 {
		req.Aim = aim
	}
	if o.seed != 0 {
		req.Experiment.Seed = o.seed
	}
	p, err := a.makePlan(ctx, req, at, o.fleet)
	if err != nil {
		return err
	}
	p.Problems = append(p.Problems, stale(req.GetDigest(), p)...)
	if err := a.showPlan(p, req.GetExperiment()); err != nil {
		return err
	}
	if code := planExitCode(p); code != 0 {
		return exit(code)
	}
	return savePlan(o.out, req, p)
}

// stale is the problem of a saved plan that would not be made again.
func stale(digest string, p *pb.Plan) []*pb.Problem {
	if digest == "" || digest == p.GetDigest() || len(p.GetProblems()) > 0 {
		return nil
	}
	return []*pb.Problem{{
		Refusal: pb.Refusal_REFUSAL_STALE_PLAN, Message: "this plan has changed since it was saved: its targets, its seed or what it is aimed at",
		Fix: "read it again, and save it anew with --out",
	}}
}

// makePlan plans here against a fleet file, or asks the control plane.
func (a *app) makePlan(ctx context.Context, req *pb.RunRequest, at experiments.Source, fleet string) (*pb.Plan, error) {
	if fleet != "" {
		if role := roleOfLeader(req.GetAim()); role != "" {
			return nil, usagef("aim %s=%s: a fleet file has no leader; name a zone", role, leaderZone)
		}
		hosts, err := readFleet(fleet)
		if err != nil {
			return nil, usage(err)
		}
		made := plan.Make(req.GetExperiment(), at, plan.World{
			Hosts: hosts, Aim: req.GetAim(), Seed: drawSeed(), Command: len(req.GetSource()) == 0,
		})
		made.Trial = &pb.Trial{Untried: "a fleet file has no hosts to ask; plan without --fleet to see what they show"}
		return made, nil
	}
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := aimAtLeader(ctx, c, req); err != nil {
		return nil, err
	}
	return askWholeWithin[pb.Plan](ctx, c, c.timeout+tryTime(req.GetExperiment()), pb.ControlServiceClient.Plan, &pb.PlanRequest{
		Experiment: req.GetExperiment(), Aim: req.GetAim(), File: req.GetFile(), Source: req.GetSource(), TryProbes: true,
	})
}

// tryTime is how long a server may take to try the probes besides.
func tryTime(e *pb.Experiment) time.Duration {
	slowest := time.Duration(0)
	for _, p := range e.GetProbes() {
		slowest = max(slowest, probe.Timeout(p))
	}
	return slowest
}

func readFleet(file string) ([]*pb.Host, error) {
	src, err := readFile(file)
	if err != nil {
		return nil, fmt.Errorf("read fleet: %w", err)
	}
	fleet, problems := experiments.DecodeFleet(file, src)
	return fleet.GetHosts(), problems.Err()
}

func drawSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:])
}

func (a *app) showPlan(p *pb.Plan, e *pb.Experiment) error {
	switch a.settings.Output {
	case "json", "yaml", "name":
		return a.show(view{message: p, names: []string{p.GetDigest()}})
	}
	return putText(a.stdout, show.Plan(p, e))
}

// planExitCode is that of the problem which is nearest to the file: a wrong
// file is to be mended before anything else is worth knowing.
func planExitCode(p *pb.Plan) int {
	code := 0
	for _, problem := range p.GetProblems() {
		if c := experiments.ExitCode(problem.GetRefusal()); code == 0 || c < code {
			code = c
		}
	}
	return code
}

// savePlan writes the request that runs exactly this plan: with its seed, and
// with the digest by which a server sees whether the targets have changed.
func savePlan(file string, req *pb.RunRequest, p *pb.Plan) error {
	if file == "" {
		return nil
	}
	saved := proto.CloneOf(req)
	saved.Experiment.Seed, saved.Digest = p.GetSeed(), p.GetDigest()
	var text bytes.Buffer
	if err := printJSON(&text, saved); err != nil {
		return fmt.Errorf("save plan: %w", err)
	}
	if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
		return usage(fmt.Errorf("save plan: %w\n  fix: give --out a file in a folder that is there and can be written", err))
	}
	return nil
}

// savedPlan reads what savePlan wrote; false means that src is something else.
func savedPlan(src []byte) (*pb.RunRequest, bool) {
	req := &pb.RunRequest{}
	if !bytes.HasPrefix(bytes.TrimSpace(src), []byte("{")) || protojson.Unmarshal(src, req) != nil {
		return nil, false
	}
	return req, req.GetDigest() != "" && req.GetExperiment() != nil
}
