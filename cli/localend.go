package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"squall/experiments"
	"squall/experiments/judge"
	pb "squall/proto/squall/v1"
)

// nothingUndone says why an undo ended nothing: a run that this host doesn't
// know is a mistake of whoever named it.
func (c *localClient) nothingUndone(ctx context.Context, run string) error {
	if run == "" {
		fmt.Fprintln(c.app.stderr, "nothing to undo: this host holds no fault")
		return nil
	}
	now, err := c.Status(ctx, &pb.LocalStatusRequest{})
	if err != nil {
		return c.refusal(err)
	}
	if !slices.ContainsFunc(now.GetSteps(), func(s *pb.StepStatus) bool { return s.GetRun() == run }) {
		return usagef("this host knows of no run %q\n  fix: list them with: squall status --local", run)
	}
	fmt.Fprintln(c.app.stderr, "ended before:", escape(run))
	return nil
}

// refusal is an error of the agent with the right exit code, and of an agent
// that isn't there with what to do.
func (c *localClient) refusal(err error) error {
	if status.Code(err) != codes.Unavailable {
		return refusal(err)
	}
	_, why, ok := strings.Cut(status.Convert(err).Message(), "dial unix ")
	if !ok {
		return refusal(err) // the agent's own word
	}
	fix := "start it (squall agent --help), or name its socket with --socket"
	if strings.Contains(why, syscall.EACCES.Error()) {
		fix = "only root may speak to it: use sudo"
	}
	return &exitError{experiments.ExitUnreachable, fmt.Errorf("no agent answers on this host: %s\n  fix: %s", strings.TrimSuffix(why, `"`), fix)}
}

// localVerdict is the exit code of a fault that has ended, and why it is not 0.
func localVerdict(s *pb.StepStatus) error {
	switch cause := s.GetCause(); cause {
	case pb.RevertCause_REVERT_CAUSE_LOCAL, pb.RevertCause_REVERT_CAUSE_HALT:
		return exit(experiments.ExitHalted)
	case pb.RevertCause_REVERT_CAUSE_END:
	default:
		return &exitError{experiments.ExitInconclusive, fmt.Errorf("inconclusive: %s ended early", s.GetRun())}
	}
	if lost := s.GetRecoveryFailures(); len(lost) > 0 {
		return &exitError{experiments.ExitFail, fmt.Errorf("fail: %s did not come back: %s", lost[0].GetWorkload(), lost[0].GetWhy())}
	}
	if state, text := judge.Bit(s); state != pb.FindingState_FINDING_STATE_HOLDS {
		return &exitError{experiments.ExitInconclusive, fmt.Errorf("inconclusive: the fault is not shown to have bitten: %s", text)}
	}
	return nil
}
