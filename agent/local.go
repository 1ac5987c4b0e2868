package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"hash/fnv"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"squall/agent/step"
	"squall/agent/undo"
	"squall/experiments"
	kind "squall/experiments/fault"
	pb "squall/proto/squall/v1"
)

const (
	// StandaloneLease is what a standalone agent's supervisor grants its worker.
	StandaloneLease = 2 * time.Second
	// localGrace is how long after its end a local step is reverted whatever
	// happens, beside what the way back may take.
	localGrace = 10 * time.Second
	// recordPatience is how long a halt, which acts already, waits for the disk
	// before it is told as engaged and not recorded.
	recordPatience = time.Second
	// localPatience bounds a call on the socket.
	localPatience = time.Minute
)

// local serves the host's own Unix socket. It works with every server gone.
type local struct {
	pb.UnimplementedLocalServiceServer
	engine *step.Engine
	// config is the host's own.
	config *pb.HostConfig
	// standalone takes injections; otherwise faults come from servers.
	standalone bool
	// server names the one in use.
	server func() string
	// quicken lets the supervisor's lease be as fresh as it can be.
	quicken func()
}

// Inject implements LocalService.
func (l *local) Inject(ctx context.Context, in *pb.LocalInjectRequest) (*pb.LocalInjectResponse, error) {
	if p := l.refuseInject(in); p != nil {
		return &pb.LocalInjectResponse{Refused: p}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, localPatience)
	defer cancel()
	task, prefixes := localTask(in), peersOf(in.GetFault()).GetPrefix()
	if in.GetDryRun() {
		return injected(l.engine.Preview(ctx, task, prefixes)), nil
	}
	l.quicken()
	spread := kind.WayBack(task.GetFault()).GetSpread().GetNanos()
	length := time.Duration(in.GetForNanos()) + paced(spread, task.GetRun())
	grace := localGrace + time.Duration(spread+task.GetBootLimitNanos())
	step, err := l.engine.Inject(ctx, task, prefixes, length, grace)
	switch {
	case errors.Is(err, undo.ErrOnce):
		return nil, status.Error(codes.AlreadyExists, err.Error())
	case err != nil:
		return nil, status.FromContextError(err).Err()
	}
	return injected(step), nil
}

func injected(step *pb.StepStatus) *pb.LocalInjectResponse {
	return &pb.LocalInjectResponse{Step: step, Refused: step.GetRefused()}
}

// refuseInject says why no fault may come through the socket as it stands.
func (l *local) refuseInject(in *pb.LocalInjectRequest) *pb.Problem {
	switch {
	case !l.standalone:
		return &pb.Problem{
			Refusal: pb.Refusal_REFUSAL_HOST, Message: "this agent takes its faults from servers",
			Fix: "use `squall inject` without --local",
		}
	case experiments.FaultName(in.GetFault()) == "":
		return &pb.Problem{Refusal: pb.Refusal_REFUSAL_INVALID, Message: "the request has no fault", Fix: "name one"}
	case in.GetForNanos() <= 0:
		return &pb.Problem{
			Refusal: pb.Refusal_REFUSAL_INVALID, Message: "the fault has no end", Fix: "say how long, as in --for 30s",
		}
	case unknownHere(peersOf(in.GetFault())):
		return &pb.Problem{
			Refusal: pb.Refusal_REFUSAL_UNKNOWN, Message: "a host alone knows no zones, rooms or hosts",
			Fix: "name the peers by prefix",
		}
	}
	if onServer(l.config, in.GetWorkload()) {
		return &pb.Problem{
			Refusal: pb.Refusal_REFUSAL_GUARDRAIL, Message: "this host is part of the control plane, and only a file may aim at those",
			Fix: "name the role " + experiments.ServerRole + " in a file's target, and run it through the servers",
		}
	}
	if h := l.engine.Halted(); h != nil {
		return step.HaltedProblem(h)
	}
	return nil
}

// onServer tells whether a host, or one of its workloads, is a control server.
// No workloads are all of the host's.
func onServer(c *pb.HostConfig, workloads []string) bool {
	if len(workloads) == 0 && slices.Contains(c.GetRole(), experiments.ServerRole) {
		return true
	}
	return slices.ContainsFunc(c.GetWorkloads(), func(w *pb.Workload) bool {
		return w.GetRole() == experiments.ServerRole && (len(workloads) == 0 || slices.Contains(workloads, w.GetName()))
	})
}

// localTask makes a task of a request; its instants are stamped when it fires.
func localTask(in *pb.LocalInjectRequest) *pb.Task {
	run := in.GetRun()
	if run == "" {
		run = "local-" + rand.Text()[:8]
	}
	fault := experiments.WithDefaults(in.GetFault())
	t := &pb.Task{
		Run: run, Step: experiments.FaultName(fault), Fault: fault, Workload: in.GetWorkload(),
		LeaseNanos: int64(StandaloneLease), Seed: seedOf(run),
	}
	t.BootLimitNanos = kind.WayBack(fault).GetBootLimit().GetNanos()
	return t
}

// peersOf is the other side of connections that a fault names, nil where it names none.
func peersOf(f *pb.Fault) *pb.Peers {
	if peers := kind.PeersOf(f); peers != nil {
		return peers.Peers
	}
	return nil
}

// unknownHere says that peers are named by what only servers know.
func unknownHere(p *pb.Peers) bool {
	return len(p.GetZone())+len(p.GetRoom())+len(p.GetHost()) > 0
}

// seedOf makes a run's choices repeatable by its name.
func seedOf(run string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(run))
	return h.Sum64()
}

// paced is this host's place in the spread of the way back, in nanoseconds.
func paced(spread int64, run string) time.Duration {
	if spread <= 0 {
		return 0
	}
	return time.Duration(seedOf(run) % uint64(spread))
}

// Undo implements LocalService. Who undoes on the host has seen what the journal
// lost, if anything.
func (l *local) Undo(ctx context.Context, in *pb.LocalUndoRequest) (*pb.LocalUndoResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, localPatience)
	defer cancel()
	if err := l.engine.Confirm(); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &pb.LocalUndoResponse{Steps: l.engine.Undo(ctx, in.GetRun(), pb.RevertCause_REVERT_CAUSE_LOCAL)}, nil
}

// Halt implements LocalService.
func (l *local) Halt(ctx context.Context, in *pb.LocalHaltRequest) (*pb.LocalHaltResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, localPatience)
	defer cancel()
	latch := &pb.HaltLatch{Id: "local-" + rand.Text()[:8], Engaged: true, Local: true, Reason: in.GetReason()}
	if err := l.engine.Halt(latch); err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	steps := l.engine.Undo(ctx, "", pb.RevertCause_REVERT_CAUSE_HALT)
	return &pb.LocalHaltResponse{Halt: l.engine.Recorded(ctx, latch, recordPatience), Steps: steps}, nil
}

// Resume implements LocalService.
func (l *local) Resume(context.Context, *pb.LocalResumeRequest) (*pb.LocalResumeResponse, error) {
	if err := errors.Join(l.engine.Resume(), l.engine.Confirm()); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &pb.LocalResumeResponse{Halt: l.engine.Halted()}, nil
}

// Status implements LocalService.
func (l *local) Status(ctx context.Context, _ *pb.LocalStatusRequest) (*pb.LocalStatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, localPatience)
	defer cancel()
	left, err := l.engine.Leftovers(ctx)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	answer := &pb.LocalStatusResponse{
		Host: l.engine.Name(), Standalone: l.standalone, Server: l.server(),
		LeaseLeftNanos: int64(l.engine.LeaseLeft()), Halt: l.engine.Halted(), Steps: l.engine.Statuses(),
		Residue: left, SupervisorPid: uint32(os.Getppid()), WorkerPid: uint32(os.Getpid()), Damage: l.engine.Damage(),
	}
	unrecorded, disk := l.engine.Unrecorded(ctx)
	answer.Unrecorded = unrecorded
	if disk != nil {
		answer.Disk = strings.ToValidUTF8(disk.Error(), "\uFFFD")
	}
	return answer, nil
}

// Doctor implements LocalService. An agent that has just started is still
// trying its mechanisms: the answer waits for them.
func (l *local) Doctor(ctx context.Context, _ *pb.LocalDoctorRequest) (*pb.LocalDoctorResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, localPatience)
	defer cancel()
	for {
		facts, err := l.engine.Host().Facts(ctx)
		if err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
		if len(facts.GetAbilities()) > 0 {
			return &pb.LocalDoctorResponse{Abilities: facts.GetAbilities(), Damage: l.engine.Damage()}, nil
		}
		select {
		case <-time.After(doctorPace):
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
}

// doctorPace is how often the trials of a start are looked at.
const doctorPace = 50 * time.Millisecond
