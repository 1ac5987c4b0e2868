package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"squall/experiments"
	pb "squall/proto/squall/v1"
)

// localFlags turn a command to this host alone.
type localFlags struct {
	local  bool
	socket string
}

// register adds --local and --socket to a command that has a local form.
func (l *localFlags) register(flags *pflag.FlagSet) {
	flags.BoolVar(&l.local, "local", false, "act on this host alone, through its agent's socket")
	flags.StringVar(&l.socket, "socket", defaultSocket, "the agent's socket, with --local")
}

// localClient speaks to the agent of this host.
type localClient struct {
	pb.LocalServiceClient
	app *app
	// redial opens the way to the agent anew.
	redial func() (pb.LocalServiceClient, io.Closer, error)
	conn   io.Closer
}

// dial opens the way to the agent. Nothing is sent yet.
func (l *localFlags) dial(a *app) (*localClient, error) {
	c := &localClient{app: a, redial: func() (pb.LocalServiceClient, io.Closer, error) {
		conn, err := grpc.NewClient("unix:"+l.socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
		if err != nil {
			return nil, nil, usage(fmt.Errorf("socket %s: %w", l.socket, err))
		}
		return pb.NewLocalServiceClient(conn), conn, nil
	}}
	var err error
	c.LocalServiceClient, c.conn, err = c.redial()
	return c, err
}

func (c *localClient) close() { c.conn.Close() }

// localAnswer is how long a question may go unanswered before it is asked anew
// on another connection: a worker that was killed and hangs in the kernel keeps
// those that it had, and will never answer.
const localAnswer = 2 * time.Second

// ask asks the agent how things stand until it answers, for a time at the most.
func (c *localClient) ask(ctx context.Context, most time.Duration) (*pb.LocalStatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for {
		soon, done := context.WithTimeout(ctx, localAnswer)
		answer, err := c.Status(soon, &pb.LocalStatusRequest{})
		done()
		if err == nil || status.Code(err) != codes.DeadlineExceeded || ctx.Err() != nil {
			return answer, err
		}
		client, conn, failed := c.redial()
		if failed != nil {
			return nil, failed
		}
		c.close()
		c.LocalServiceClient, c.conn = client, conn
	}
}

// do carries out one command on this host's agent.
func (l *localFlags) do(a *app, act func(*localClient) error) error {
	c, err := l.dial(a)
	if err != nil {
		return err
	}
	defer c.close()
	return act(c)
}

// localPoll is how often a held fault is looked at.
const localPoll = 500 * time.Millisecond

// inject holds a fault on this host. Unless detached, it stays until the fault
// is reverted, and an interrupt reverts it.
func (c *localClient) inject(ctx context.Context, in *pb.LocalInjectRequest, detach bool) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	answer, err := c.Inject(ctx, in)
	if err != nil {
		return c.refusal(err)
	}
	if p := answer.GetRefused(); p != nil {
		return refused(asFlags([]*pb.Problem{p}))
	}
	if in.GetDryRun() || detach {
		return c.app.show(localStepsView(answer.GetStep(), answer.GetStep()))
	}
	fmt.Fprintf(c.app.stderr, "active: %s as %s; squall undo --local %s ends it\n",
		answer.GetStep().GetStep(), answer.GetStep().GetRun(), answer.GetStep().GetRun())
	return c.stay(ctx, answer.GetStep())
}

// localSilence is how long an agent may be silent before nobody waits for it: a
// worker that died is back within a second or two.
const localSilence = 10 * time.Second

// stay follows a step to its end, for as long as the agent tells of it.
func (c *localClient) stay(ctx context.Context, step *pb.StepStatus) error {
	tick := time.NewTicker(localPoll)
	defer tick.Stop()
	heard := time.Now()
	for {
		select {
		case <-ctx.Done():
			return cmp.Or(c.undo(context.WithoutCancel(ctx), step.GetRun()), exit(experiments.ExitHalted))
		case <-tick.C:
		}
		now, err := c.look(ctx, step)
		switch {
		case err == nil:
			heard = time.Now()
		case time.Since(heard) >= localSilence:
			return c.lost(step, err)
		}
		if now.GetState() == pb.StepState_STEP_STATE_REVERTED {
			return cmp.Or(c.ended([]*pb.StepStatus{now}, now), localVerdict(now))
		}
	}
}

// errUntold says that the agent answers, and knows nothing of a step.
var errUntold = errors.New("the agent no longer tells of it")

// look asks the agent for one step.
func (c *localClient) look(ctx context.Context, step *pb.StepStatus) (*pb.StepStatus, error) {
	now, err := c.ask(context.WithoutCancel(ctx), c.app.settings.Timeout)
	if err != nil {
		return nil, err
	}
	for _, s := range now.GetSteps() {
		if s.GetRun() == step.GetRun() && s.GetStep() == step.GetStep() {
			return s, nil
		}
	}
	return nil, errUntold
}

// lost ends the wait for a step whose end nobody tells.
func (c *localClient) lost(step *pb.StepStatus, why error) error {
	return &exitError{experiments.ExitUnreachable, fmt.Errorf(
		"lost sight of %s: %s for %v; what it holds ends at its deadline, and squall status --local shows it once the agent is back",
		step.GetRun(), status.Convert(why).Message(), localSilence)}
}

// undo reverts one run's steps, or all when run is empty.
func (c *localClient) undo(ctx context.Context, run string) error {
	answer, err := c.Undo(ctx, &pb.LocalUndoRequest{Run: run})
	if err != nil {
		return c.refusal(err)
	}
	if len(answer.GetSteps()) == 0 {
		return c.nothingUndone(ctx, run)
	}
	return c.ended(answer.GetSteps(), answer)
}

// halt reverts everything and latches.
func (c *localClient) halt(ctx context.Context, reason string) error {
	answer, err := c.Halt(ctx, &pb.LocalHaltRequest{Reason: reason})
	if err != nil {
		return c.refusal(err)
	}
	fmt.Fprintf(c.app.stderr, "halted: %s%s; squall resume --local lets go\n", answer.GetHalt().GetId(), unrecorded(answer.GetHalt()))
	return c.ended(answer.GetSteps(), answer)
}

// unrecorded says that a halt acts and would not outlive the agent.
func unrecorded(h *pb.HaltLatch) string {
	if h.GetUnrecorded() {
		return " (engaged, not recorded: this host's disk does not take it)"
	}
	return ""
}

// resume lets go of a local halt, of the one with this id where one is given, and
// confirms a damaged journal. Where there is neither, nothing was resumed.
func (c *localClient) resume(ctx context.Context, id string) error {
	now, err := c.ask(ctx, localSilence)
	if err != nil {
		return c.refusal(err)
	}
	switch latch := now.GetHalt(); {
	case !latch.GetEngaged() && now.GetDamage() == nil:
		return usagef("this host is not halted: there is nothing to resume")
	case id != "" && id != latch.GetId():
		return usagef("this host is not halted by %q\n  fix: squall status --local names its halt; squall resume --local lets go of it", id)
	}
	answer, err := c.Resume(ctx, &pb.LocalResumeRequest{})
	if err != nil {
		return c.refusal(err)
	}
	if h := answer.GetHalt(); h.GetEngaged() {
		return &exitError{experiments.ExitRefused, fmt.Errorf("still halted by the servers (%s); use squall resume", h.GetId())}
	}
	fmt.Fprintln(c.app.stderr, "resumed")
	return nil
}

// status shows what this host holds and what is left over.
func (c *localClient) status(ctx context.Context) error {
	answer, err := c.ask(ctx, localSilence)
	if err != nil {
		return c.refusal(err)
	}
	if err := c.app.show(localStatusView(answer)); err != nil {
		return err
	}
	if len(answer.GetResidue()) > 0 || localResidue(answer.GetSteps()) {
		return exit(experiments.ExitResidue)
	}
	return nil
}

// doctor shows which mechanisms work here.
func (c *localClient) doctor(ctx context.Context) error {
	answer, err := c.Doctor(ctx, &pb.LocalDoctorRequest{})
	if err != nil {
		return c.refusal(err)
	}
	return c.app.show(localAbilitiesView(answer))
}

// ended shows steps that were reverted. What is still changed has its own exit
// code.
func (c *localClient) ended(steps []*pb.StepStatus, answer proto.Message) error {
	if err := c.app.show(localStepsView(answer, steps...)); err != nil {
		return err
	}
	if localResidue(steps) {
		return exit(experiments.ExitResidue)
	}
	return nil
}

func localResidue(steps []*pb.StepStatus) bool {
	for _, s := range steps {
		if len(s.GetResidue()) > 0 {
			return true
		}
	}
	return false
}
