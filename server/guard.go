package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/experiments/near"
	"squall/experiments/plan"
	"squall/experiments/schedule"
	pb "squall/proto/squall/v1"
	"squall/server/report"
	"squall/server/state"
)

const (
	// guardTime is how long schedules are looked at when a guardrail is set.
	guardTime = 2 * time.Second
	// guardSlots is how many slots of each are.
	guardSlots = 10
	// mostHindered is how many bytes of schedules and runs an answer tells.
	mostHindered = 256 << 10
)

// SetGuard sets a guardrail of the cluster. It names what is in its way, and what
// it is in the way of.
func (d *controlDoor) SetGuard(ctx context.Context, req *pb.SetGuardRequest) (*pb.SetGuardResponse, error) {
	g, err := d.guardOf(req.GetGuard())
	if err != nil {
		return nil, err
	}
	view, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	outcome, err := d.act(ctx, "set guard", req, &pb.Command{
		By: d.principal(ctx, req.GetReason()), Kind: &pb.Command_SetGuard{SetGuard: &pb.SetGuard{Guard: g, EndRuns: req.GetEndRuns()}},
	})
	if err != nil {
		return nil, err
	}
	res := &pb.SetGuardResponse{Index: outcome.GetIndex(), Warnings: strangers(view, g)}
	after, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	res.Ended = report.Fit(endedBy(after, g.GetName()), mostHindered)
	hindered, unseen := d.hindered(ctx, after, g)
	res.Schedules, res.SchedulesUnseen = report.Fit(hindered, mostHindered), uint32(unseen)
	return res, nil
}

// guardOf is a guardrail as it is proposed: checked, and with what the clocks of
// its zone show.
func (d *controlDoor) guardOf(asked *pb.Guard) (*pb.Guard, error) {
	g := &pb.Guard{Name: asked.GetName(), Environments: asked.GetEnvironments(), Rule: asked.GetRule()}
	if p := plan.CheckGuard(g); p != nil {
		return nil, refusal(p)
	}
	if g.GetClosed() == nil {
		return g, nil
	}
	closed := proto.CloneOf(g.GetClosed())
	offsets, err := schedule.Offsets(closed.GetTimezone(), d.now())
	if wrong, ok := errors.AsType[*schedule.Error](err); ok {
		return nil, refusef(pb.Refusal_REFUSAL_INVALID, wrong.Fix, "%v", wrong)
	}
	closed.Offsets = offsets
	g.Rule = &pb.Guard_Closed{Closed: closed}
	return g, nil
}

// strangers warns of roles, zones and environments that a guardrail names and no
// host has: they may come, or be misspelt.
func strangers(v *state.View, g *pb.Guard) (warnings []*pb.Problem) {
	known := map[string]map[string]bool{"role": {}, "zone": {}, "environment": {}}
	for _, r := range v.Hosts() {
		known["zone"][r.GetHost().GetZone()] = true
		known["environment"][plan.Environment(r.GetHost())] = true
		for _, role := range r.GetHost().GetRole() {
			known["role"][role] = true
		}
	}
	for _, name := range plan.GuardNames(g) {
		kind, value, _ := strings.Cut(name, "=")
		if all, is := known[kind]; is && !all[value] {
			warnings = append(warnings, &pb.Problem{
				Message: fmt.Sprintf("no host is of %s %q yet", kind, value), Fix: near.Fix(value, kind, keys(all)),
			})
		}
	}
	return warnings
}

func keys(m map[string]bool) (all []string) {
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// endedBy are the runs that a guardrail has ended and that are not done.
func endedBy(v *state.View, guard string) (all []*pb.HinderedRun) {
	for _, r := range v.Active() {
		if strings.HasPrefix(r.GetEndDetail(), "guardrail "+guard+" of the cluster: ") {
			all = append(all, &pb.HinderedRun{Run: r.GetId(), Why: r.GetEndDetail()})
		}
	}
	return all
}

// hindered are the schedules of which a guardrail will refuse a slot, as things
// stand, and how many could not be looked at in time.
func (d *controlDoor) hindered(ctx context.Context, v *state.View, g *pb.Guard) (all []*pb.HinderedSchedule, unseen int) {
	ctx, cancel := context.WithTimeout(ctx, guardTime)
	defer cancel()
	schedules := v.Schedules()
	for i, s := range schedules {
		h := d.hinders(ctx, v, g, s)
		if ctx.Err() != nil {
			return all, len(schedules) - i
		}
		if h != nil {
			all = append(all, h)
		}
	}
	return all, 0
}

// hinders is the first slot of a schedule that a guardrail will refuse; nil for none.
func (d *controlDoor) hinders(ctx context.Context, v *state.View, g *pb.Guard, s *pb.Scheduled) *pb.HinderedSchedule {
	_, made, err := d.plan(v, draft{aim: s.GetAim(), experiment: s.GetExperiment(), file: s.GetName() + ".yaml", source: s.GetSource(), later: true})
	if err != nil {
		return nil // its slots are refused whatever guardrails say
	}
	world := v.WorldFor(s.GetSource())
	world.Guards = []*pb.Guard{g}
	next, err := d.outlook(v, s, made, world).Next(ctx, guardSlots)
	if err != nil {
		return nil
	}
	for _, slot := range next {
		for _, why := range slot.GetHinderedBy() {
			if strings.HasPrefix(why, "guardrail "+g.GetName()+" of the cluster: ") {
				return &pb.HinderedSchedule{Schedule: s.GetName(), Slot: slot.GetSlot(), Why: why}
			}
		}
	}
	return nil
}

// RemoveGuard drops a guardrail of the cluster.
func (d *controlDoor) RemoveGuard(ctx context.Context, req *pb.RemoveGuardRequest) (*pb.RemoveGuardResponse, error) {
	outcome, err := d.act(ctx, "remove guard", req, &pb.Command{
		By: d.principal(ctx, req.GetReason()), Kind: &pb.Command_RemoveGuard{RemoveGuard: &pb.RemoveGuard{Name: req.GetName()}},
	})
	return &pb.RemoveGuardResponse{Index: outcome.GetIndex()}, err
}

// ListGuards tells the guardrails of the cluster, by name, in pages.
func (d *controlDoor) ListGuards(ctx context.Context, req *pb.ListGuardsRequest) (*pb.ListGuardsResponse, error) {
	return listed(ctx, d, req, report.ListGuards)
}

// ListGuardExceptions tells the exceptions in force, by digest, in pages.
func (d *controlDoor) ListGuardExceptions(ctx context.Context, req *pb.ListGuardExceptionsRequest) (*pb.ListGuardExceptionsResponse, error) {
	now := d.now().UnixNano()
	return listed(ctx, d, req, func(v *state.View, req *pb.ListGuardExceptionsRequest) (*pb.ListGuardExceptionsResponse, error) {
		return report.ListGuardExceptions(v, now, req)
	})
}

// ExceptGuards lets one plan or file past guardrails of the cluster for a while,
// or takes that back.
func (d *controlDoor) ExceptGuards(ctx context.Context, req *pb.ExceptGuardsRequest) (*pb.ExceptGuardsResponse, error) {
	if n := time.Duration(req.GetForNanos()); !req.GetRevoke() && (n < time.Minute || n > state.MaxException) {
		return nil, refusef(pb.Refusal_REFUSAL_INVALID, "write 1m to 744h", "for: an exception can't hold for %s", n)
	}
	e := &pb.GuardException{Digest: req.GetDigest()}
	if !req.GetRevoke() {
		e.Guards, e.UntilUnixNanos = req.GetGuards(), d.now().UnixNano()+req.GetForNanos()
	}
	outcome, err := d.act(ctx, "except guards", req, &pb.Command{
		By:   d.principal(ctx, req.GetReason()),
		Kind: &pb.Command_ExceptGuards{ExceptGuards: &pb.ExceptGuards{Exception: e, Revoke: req.GetRevoke()}},
	})
	return &pb.ExceptGuardsResponse{Index: outcome.GetIndex(), Exception: e}, err
}

// ExplainGuards says what each guardrail of the cluster says about a plan that
// would begin now: that of a file, or of a run, which an archive may have.
func (d *controlDoor) ExplainGuards(ctx context.Context, req *pb.ExplainGuardsRequest) (*pb.ExplainGuardsResponse, error) {
	view, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	made, source := (*pb.Plan)(nil), req.GetSource()
	if req.GetRun() != "" {
		r, err := d.keeper.find(ctx, view, req.GetRun())
		if err != nil {
			return nil, err
		}
		made, source = r.GetPlan(), r.GetSource()
	} else if _, made, err = d.plan(view, draft{experiment: req.GetExperiment(), aim: req.GetAim(), file: req.GetFile(), source: source, later: true}); err != nil {
		return nil, err
	}
	res := &pb.ExplainGuardsResponse{PlanDigest: made.GetDigest(), FileDigest: state.FileDigest(source)}
	if len(made.GetSteps()) == 0 {
		res.Problems = fewProblems(made.GetProblems())
		return res, nil
	}
	world := view.WorldFor(source)
	world.NowUnixNanos = d.now().UnixNano()
	world.Active = slices.DeleteFunc(world.Active, func(a plan.Active) bool { return a.Run == req.GetRun() })
	world.Past = slices.DeleteFunc(world.Past, func(p plan.Past) bool { return p.Run == req.GetRun() })
	opinions := plan.Opinions(made, world)
	for i, g := range world.Guards {
		opinions[i].Rule = plan.GuardRule(g)
	}
	res.Opinions = report.Fit(opinions, mostHindered)
	return res, nil
}
