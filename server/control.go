package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"squall/experiments"
	"squall/experiments/plan"
	"squall/proto/parts"
	pb "squall/proto/squall/v1"
	"squall/server/report"
	"squall/server/state"
)

// controlDoor is the service for people.
type controlDoor struct {
	pb.UnimplementedControlServiceServer
	*Server
}

// draft is what a caller wants to run.
type draft struct {
	experiment *pb.Experiment
	aim        map[string]*pb.ZoneRole
	file       string
	source     []byte
	// later says that it won't run now: no run of now is in its way, no hour in
	// which nothing runs, and it has no other seed than that of its file.
	later bool
}

// Plan resolves an experiment against the registry and says what a run would do,
// and what its probes show now where that is asked for.
func (d *controlDoor) Plan(req *pb.PlanRequest, stream grpc.ServerStreamingServer[pb.PlanResponse]) error {
	view, err := d.read(stream.Context())
	if err != nil {
		return err
	}
	e, made, err := d.plan(view, draft{experiment: req.GetExperiment(), aim: req.GetAim(), file: req.GetFile(), source: req.GetSource()})
	if err != nil {
		return err
	}
	if req.GetTryProbes() {
		made.Trial = d.trial(stream.Context(), e, made)
	}
	return parts.Send(stream, made, func(part []byte) *pb.PlanResponse { return &pb.PlanResponse{Part: part} })
}

// Run admits a run. The same request id starts one run, however often it comes.
func (d *controlDoor) Run(ctx context.Context, req *pb.RunRequest) (*pb.RunResponse, error) {
	if req.GetId() == "" {
		return nil, refusef(pb.Refusal_REFUSAL_INVALID, "choose one at random", "the request has no id")
	}
	if !state.GoodName(req.GetId()) { // every server remembers it
		return nil, refusef(pb.Refusal_REFUSAL_INVALID, "choose a short one of plain letters", "the request's id %.40q can't be one", req.GetId())
	}
	if latch := d.engaged(); latch != nil {
		return &pb.RunResponse{Refused: []*pb.Problem{state.Halted(latch)}}, nil
	}
	view, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	if latch := view.Halt(); latch.GetEngaged() {
		return &pb.RunResponse{Refused: []*pb.Problem{state.Halted(latch)}}, nil
	}
	e, made, err := d.plan(view, draft{experiment: req.GetExperiment(), aim: req.GetAim(), file: req.GetFile(), source: req.GetSource()})
	if err != nil {
		return nil, err
	}
	id := runID(e.GetName(), req.GetId())
	if known := view.Run(id); known != nil {
		return admitted(id, known.GetAdmittedIndex(), known.GetPlan()), nil
	}
	if known := view.Archived(id).GetSummary(); known != nil {
		return &pb.RunResponse{Run: id, Index: known.GetAdmittedIndex(), Hosts: known.GetHosts()}, nil
	}
	if refused := refusals(made, req.GetDigest()); len(refused) > 0 {
		return &pb.RunResponse{Refused: fewProblems(refused)}, nil
	}
	return d.admit(ctx, req, &pb.AdmitRun{
		Run: id, Experiment: e, Plan: made, Source: req.GetSource(), AdHoc: req.GetAdHoc(),
	})
}

func (d *controlDoor) admit(ctx context.Context, req *pb.RunRequest, a *pb.AdmitRun) (*pb.RunResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, leaderTime)
	defer cancel()
	outcome, err := d.Propose(ctx, &pb.Command{
		Id: "run/" + req.GetId(), By: d.principal(ctx, req.GetWhy()), Kind: &pb.Command_AdmitRun{AdmitRun: a},
	})
	if err != nil {
		return nil, err
	}
	res := admitted(a.GetRun(), outcome.GetIndex(), a.GetPlan())
	switch {
	case outcome.GetRefused() != nil:
		res.Refused = []*pb.Problem{outcome.GetRefused()}
	case outcome.GetRepeatedCommand():
		return res, d.sameRun(ctx, a.GetRun(), outcome.GetIndex())
	}
	return res, nil
}

// sameRun refuses a request whose id let in another run before: what it asks for
// has not begun.
func (d *controlDoor) sameRun(ctx context.Context, run string, index uint64) error {
	if err := d.consensus.WaitApplied(ctx, index); err != nil {
		return err
	}
	if d.machine.View().Run(run) == nil {
		return refusef(pb.Refusal_REFUSAL_INVALID, "choose another one at random", "the request's id has begun another run before")
	}
	return nil
}

// admitted says which run was let in, and how much it is.
func admitted(run string, index uint64, p *pb.Plan) *pb.RunResponse {
	res := &pb.RunResponse{Run: run, Index: index, Warnings: fewProblems(p.GetWarnings())}
	hosts := make(map[string]bool)
	for _, step := range p.GetSteps() {
		res.Slots += uint32(len(step.GetSlots()))
		for _, slot := range step.GetSlots() {
			hosts[slot.GetHost()] = true
		}
	}
	res.Hosts = uint32(len(hosts))
	return res
}

// mostProblems is how many bytes of problems an answer tells.
const mostProblems = 256 << 10

// fewProblems is the beginning of a list that may have one for each host, and
// says how many are left out.
func fewProblems(all []*pb.Problem) []*pb.Problem {
	few := report.Fit(all, mostProblems)
	if more := len(all) - len(few); more > 0 {
		few = append(slices.Clip(few), &pb.Problem{
			Refusal: all[0].GetRefusal(), Message: fmt.Sprintf("there are %d more like these", more), Fix: "see them all with: squall plan",
		})
	}
	return few
}

// plan decodes what has a source, so that problems have their place in the
// file and the record shows what was run, and resolves it.
func (d *controlDoor) plan(view *state.View, w draft) (e *pb.Experiment, made *pb.Plan, err error) {
	defer func() { // a message that no decoder made may surprise the planner
		if cause := recover(); cause != nil {
			d.log.Error("planner gave up", "cause", cause, "stack", string(debug.Stack()))
			err = refusef(pb.Refusal_REFUSAL_INVALID, "", "the experiment can't be planned: %v", cause)
		}
	}()
	e = proto.CloneOf(w.experiment)
	var src experiments.Source
	if len(w.source) > 0 {
		var problems experiments.Problems
		if e, src, problems = experiments.Decode(w.file, w.source); len(problems) > 0 {
			return &pb.Experiment{}, &pb.Plan{Problems: problems}, nil
		}
	}
	if e == nil {
		return nil, nil, refusef(pb.Refusal_REFUSAL_INVALID, "", "the request has no experiment")
	}
	written := cmp.Or(w.experiment.GetSeed(), e.GetSeed())
	e.Seed = seedOr(written)
	world := view.WorldFor(w.source)
	world.Aim, world.NowUnixNanos, world.Command = w.aim, d.now().UnixNano(), len(w.source) == 0
	if w.later {
		world.Active, world.Guards = nil, nil
	}
	made = plan.Make(e, src, world)
	if w.later {
		e.Seed = written
	}
	made.Problems = append(made.Problems, unheard(view, e, src)...)
	return plan.Aimed(e, w.aim), made, nil
}

// seedOr is the caller's seed, as of a saved plan, or a new one.
func seedOr(wanted uint64) uint64 {
	if wanted != 0 {
		return wanted
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])>>1 | 1
}

// shownDigest is how many characters of a digest people see, and may give back.
const shownDigest = 12

// samePlan tells whether a digest, or its beginning as plan shows it, is a plan's.
func samePlan(given, digest string) bool {
	return given == digest || len(given) >= shownDigest && strings.HasPrefix(digest, given)
}

// refusals are the reasons why a plan can't be run.
func refusals(p *pb.Plan, digest string) []*pb.Problem {
	if len(p.GetProblems()) == 0 && digest != "" && !samePlan(digest, p.GetDigest()) {
		return []*pb.Problem{{
			Refusal: pb.Refusal_REFUSAL_STALE_PLAN,
			Message: fmt.Sprintf("the plan has changed since it was saved: its digest was %.12s, it is %.12s", digest, p.GetDigest()),
			Fix:     "look at it again with: squall plan",
		}}
	}
	return p.GetProblems()
}

// runID is the same for every repeat of a request.
func runID(experiment, request string) string {
	sum := sha256.Sum256([]byte(request))
	return experiment + "-" + hex.EncodeToString(sum[:4])
}

// propose commits a command of a person, and returns its refusal as an error.
func (d *controlDoor) propose(ctx context.Context, cmd *pb.Command) (*pb.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, leaderTime)
	defer cancel()
	outcome, err := d.Propose(ctx, cmd)
	if err != nil {
		return nil, err
	}
	if outcome.GetRefused() != nil {
		return nil, refusal(outcome.GetRefused())
	}
	return outcome, nil
}
