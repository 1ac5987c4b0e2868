package sweep

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"squall/agent/host/hosttest"
	"squall/agent/host/hosttest/late"
	kind "squall/experiments/fault"
	"squall/experiments/fault/faulttest"
	pb "squall/proto/squall/v1"
)

var (
	rounds = flag.Int("sweep.rounds", 12, "random rounds after the cells")
	seed   = flag.Uint64("sweep.seed", 0, "seed of the random rounds; 0 chooses one")
)

var quick = grpc.ConnectParams{Backoff: backoff.Config{
	BaseDelay: 20 * time.Millisecond, Multiplier: 1, MaxDelay: 20 * time.Millisecond,
}, MinConnectTimeout: time.Second}

// fault is one row of what is swept.
type fault struct {
	name string
	kind *kind.Kind
	// workload narrows it; empty is the whole host.
	workload []string
}

// faults are what is swept: every kind that this build can inject, on the host
// and, where a target's workload narrows it, on one of them.
var faults = everyFault()

func everyFault() []fault {
	var all []fault
	for _, name := range kind.Names() {
		k := kind.ByName(name)
		all = append(all, fault{name: name, kind: k})
		if k.Narrows["workload"] == kind.Narrowed {
			all = append(all, fault{name: name + " workload", kind: k, workload: []string{"web"}})
		}
	}
	return all
}

// row is that of a name.
func row(name string) int {
	return slices.IndexFunc(faults, func(f fault) bool { return f.name == name })
}

// require skips a test of a fault that this host can't take.
func (f fault) require(t testing.TB) {
	t.Helper()
	hosttest.Require(t, f.kind.Needs[0])
}

// cell is one way to die.
type cell struct {
	fault int
	part  string
	stop  bool
	phase string
	// at is the point at which the first worker holds still, with the phases
	// injecting and reverting; 0 chooses the middle of the phase.
	at int
	// moment is when the signal comes in the phases without points.
	moment time.Duration
	// pause is how long a stopped process stays so.
	pause time.Duration
}

func (c cell) String() string {
	signal := "KILL"
	if c.stop {
		signal = "STOP"
	}
	return fmt.Sprintf("%s/%s/%s/%s", faults[c.fault].name, c.part, signal, c.phase)
}

var (
	phases  = []string{"idle", "injecting", "held", "reverting"}
	members = []string{"worker", "supervisor", "helper", "all"}
)

// cells are those of a fault, which lived as seen.
func cells(f int, seen life) []cell {
	var all []cell
	for _, part := range members {
		for _, phase := range phases {
			if part == "helper" && (!seen.helper || phase == "idle") {
				continue // there is none
			}
			for _, stop := range []bool{false, true} {
				all = append(all, cell{fault: f, part: part, stop: stop, phase: phase, pause: 1300 * time.Millisecond})
			}
		}
	}
	return all
}

// life is one undisturbed life of a fault.
type life struct {
	// points are those around durable writes and operations, held how many of them
	// come before it is held.
	points []string
	held   int
	// helper says that a process of its own carries it.
	helper bool
}

// live lives through a fault undisturbed.
func (l *lane) live(f int) (seen life) {
	l.t.Helper()
	l.begin(0)
	defer l.end()
	if _, err := l.inject(f); err != nil {
		l.t.Fatal(err)
	}
	count := func() []string {
		b, _ := os.ReadFile(filepath.Join(l.dir, "points"))
		return strings.Fields(string(b))
	}
	seen.held, seen.helper = len(count()), len(l.pids("helper")) > 0
	l.undo()
	seen.points = count()
	return seen
}

func (l *lane) inject(f int) (*pb.LocalInjectResponse, error) {
	in := &pb.LocalInjectRequest{
		Run: "sweep", Fault: faulttest.Example(l.t, faults[f].kind.Name), Workload: faults[f].workload, ForNanos: int64(time.Minute),
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return l.client.Inject(ctx, in)
}

func (l *lane) undo() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, _ = l.client.Undo(ctx, &pb.LocalUndoRequest{})
}

// play lives through one cell and says what is not as it was.
func (l *lane) play(c cell, held int) []string {
	l.t.Helper()
	before := l.snapshot()
	l.begin(c.at)
	background := make(chan struct{})
	go func() {
		defer close(background)
		l.reach(c)
	}()
	l.hit(c, held)
	<-background
	l.await("every step is over", l.over)
	l.tried()
	l.end()
	return diff(before, l.snapshot())
}

// reach brings the agent into the cell's phase.
func (l *lane) reach(c cell) {
	if c.phase == "idle" {
		return
	}
	if _, err := l.inject(c.fault); err == nil && c.phase == "reverting" {
		l.undo()
	}
}

// hit waits for the phase and sends the signal.
func (l *lane) hit(c cell, held int) {
	l.t.Helper()
	switch {
	case c.at > 0:
		stopped := filepath.Join(l.dir, "stopped")
		l.await("the worker holds still", func() bool { _, err := os.Stat(stopped); return err == nil })
		defer note(stopped+".go", "go on")
	case c.phase == "held":
		l.await("it is held", func() bool { return l.holds() })
		fallthrough
	default:
		time.Sleep(c.moment)
	}
	pids := l.pids(c.part)
	if !c.stop {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		l.endsByItself(c, pids)
		return
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	}
	time.Sleep(c.pause)
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
}

// endsByItself checks that the kernel let go at once with everybody dead: long
// before an agent could have done it. On a busy machine a killed process still
// has to be scheduled to die, and its first thread may do so before the others.
func (l *lane) endsByItself(c cell, killed []int) {
	l.t.Helper()
	if c.part != "all" || c.phase != "held" {
		return
	}
	l.await("the killed are dead", func() bool { return !slices.ContainsFunc(killed, threads) })
	watch, began := late.Begin(l.t), time.Now()
	for l.attached() > 0 {
		if took := time.Since(began); took > 40*time.Millisecond+2*watch.Worst() && l.attached() > 0 {
			l.t.Errorf("programs are attached %s after everybody's death", took)
			return
		}
	}
}

func (l *lane) holds() bool {
	for _, s := range l.status().GetSteps() {
		if s.GetState() == pb.StepState_STEP_STATE_HELD {
			return true
		}
	}
	return false
}

// over says that no step is open. One that lived through its cell (its helper
// was hit, or a signal came to nothing) is undone.
func (l *lane) over() bool {
	s := l.status()
	if s == nil || len(l.pids("supervisor")) != 1 || len(l.pids("worker")) != 1 {
		return false
	}
	for _, step := range s.GetSteps() {
		state := step.GetState()
		if state != pb.StepState_STEP_STATE_REVERTED && state != pb.StepState_STEP_STATE_REFUSED {
			l.undo()
			return false
		}
		if len(step.GetResidue()) > 0 {
			return false
		}
	}
	return len(s.GetResidue()) == 0
}

// TestEveryCellLeavesNothing plays each cell once.
func TestEveryCellLeavesNothing(t *testing.T) {
	for f := range faults {
		t.Run(faults[f].name, func(t *testing.T) {
			t.Parallel()
			faults[f].require(t)
			l := newLane(t)
			seen := l.live(f)
			for _, c := range cells(f, seen) {
				c.aim(seen)
				l.must(c, seen.held)
			}
		})
	}
}

// aim puts the middle of a phase into a cell that has points.
func (c *cell) aim(seen life) {
	switch c.phase {
	case "injecting":
		c.at = seen.held/2 + 1
	case "reverting":
		c.at = seen.held + (len(seen.points)-seen.held)/2 + 1
	}
}

func (l *lane) must(c cell, held int) {
	l.t.Helper()
	began := time.Now()
	if left := l.play(c, held); len(left) > 0 {
		l.t.Errorf("%s at %d: not as before:\n%s", c, c.at, strings.Join(left, "\n"))
		l.dump()
	}
	l.t.Logf("%-50s at %2d  %s", c, c.at, time.Since(began).Round(time.Millisecond))
}

// tried waits until the agent has tried its mechanisms, which are seen, too.
func (l *lane) tried() {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := l.client.Doctor(ctx, &pb.LocalDoctorRequest{}); err != nil {
		l.t.Errorf("doctor: %v", err)
	}
}

// TestSnapshotSeesEveryFault keeps the sweep honest: a reader that overlooks a
// fault would find every host as before.
func TestSnapshotSeesEveryFault(t *testing.T) {
	for f := range faults {
		t.Run(faults[f].name, func(t *testing.T) {
			t.Parallel()
			faults[f].require(t)
			l := newLane(t)
			l.begin(0)
			defer l.end()
			l.tried()
			before := l.snapshot()
			if answer, err := l.inject(f); err != nil || answer.GetRefused() != nil {
				t.Fatalf("inject: %v, %v", answer, err)
			}
			if left := diff(before, l.snapshot()); len(left) == 0 {
				t.Error("the snapshot does not see it")
			}
			l.undo()
			if left := diff(before, l.snapshot()); len(left) > 0 {
				t.Errorf("after the undo:\n%s", strings.Join(left, "\n"))
			}
		})
	}
}

// TestKilledAtEveryDurableWrite kills the worker at each point around a write
// or an operation.
func TestKilledAtEveryDurableWrite(t *testing.T) {
	for f := range faults {
		t.Run(faults[f].name, func(t *testing.T) {
			t.Parallel()
			faults[f].require(t)
			l := newLane(t)
			seen := l.live(f)
			if len(seen.points) < 8 {
				t.Fatalf("only %d points: %v", len(seen.points), seen.points)
			}
			for at := range seen.points {
				c := cell{fault: f, part: "worker", phase: "injecting", at: at + 1}
				if at >= seen.held {
					c.phase = "reverting"
				}
				l.must(c, seen.held)
			}
		})
	}
}

// TestRandomRounds plays random cells at random points and moments.
func TestRandomRounds(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("go test ./agent/sweep -run TestRandomRounds -sweep.rounds=%d -sweep.seed=%d", *rounds, *seed)
	for f := range faults {
		t.Run(faults[f].name, func(t *testing.T) {
			t.Parallel()
			faults[f].require(t)
			r := rand.New(rand.NewPCG(*seed, uint64(f)))
			l := newLane(t)
			seen := l.live(f)
			for range (*rounds + len(faults) - 1) / len(faults) {
				l.must(random(r, f, seen), seen.held)
			}
		})
	}
}

func random(r *rand.Rand, f int, seen life) cell {
	c := cell{
		fault: f, part: members[r.IntN(len(members))], stop: r.IntN(2) == 0, phase: phases[r.IntN(len(phases))],
		moment: time.Duration(r.IntN(300)) * time.Millisecond, pause: time.Duration(r.IntN(3000)) * time.Millisecond,
	}
	if c.part == "helper" && !seen.helper {
		c.part = "worker"
	}
	switch c.phase {
	case "injecting":
		c.at = 1 + r.IntN(seen.held)
	case "reverting":
		c.at = seen.held + 1 + r.IntN(len(seen.points)-seen.held)
	}
	return c
}
