package step

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"squall/agent/host/hosttest"
	"squall/agent/undo"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// testClock is cluster time that is some hours ahead of boot time.
type testClock time.Duration

func (c testClock) Offset() (offset, uncertainty time.Duration, ok bool) {
	return time.Duration(c), time.Millisecond, true
}

// rig is an engine on a fake host, in a bubble.
type rig struct {
	t       *testing.T
	fake    *hosttest.Fake
	dir     string
	journal *undo.Journal
	engine  *Engine
	clock   testClock
	index   uint64
	stop    func()
	disk    disk
}

// disk is that of the journal.
type disk struct {
	mu sync.Mutex // guards all below
	// err is what it answers; hung, when there is one, what it waits for first.
	err  error
	hung chan struct{}
}

func (d *disk) sync(*os.File) error {
	d.mu.Lock()
	hung := d.hung
	d.mu.Unlock()
	if hung != nil {
		<-hung
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// fails lets every later write end with err; nil lets the disk be well.
func (d *disk) fails(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

// hangs lets every write wait from now on, until heal is called.
func (d *disk) hangs() (heal func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hung = make(chan struct{})
	return sync.OnceFunc(func() { close(d.hung) })
}

func testConfig() *pb.HostConfig {
	return &pb.HostConfig{
		Name: "web-a1", Zone: "zone-a", AllowHold: true,
		Workloads: []*pb.Workload{{Name: "web", Start: []string{"web"}}},
	}
}

// bubble runs a test with an engine inside a bubble: it fails on goroutines
// that are left.
func bubble(t *testing.T, test func(*rig)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, fake: hosttest.NewFake(testConfig()), dir: dir, clock: testClock(300 * time.Hour)}
		r.begin()
		defer func() { r.end() }()
		test(r)
	})
}

// begin opens the journal and lets an engine run, as a worker does.
func (r *rig) begin() {
	r.t.Helper()
	var err error
	r.journal, err = undo.Open(r.dir, undo.Options{
		BootID: "fake-boot", Size: 1 << 20, Sync: r.disk.sync,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if err := undo.NewRunner(r.fake, r.journal, log).Recover(r.t.Context(), pb.RevertCause_REVERT_CAUSE_CRASH); err != nil {
		r.t.Fatal(err)
	}
	r.engine = NewEngine(EngineConfig{Name: "web-a1", Host: r.fake, Journal: r.journal, Clock: r.clock, Log: log})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.engine.Run(ctx) }()
	r.stop = func() { cancel(); <-done }
	synctest.Wait()
}

// end stops the engine; nothing is reverted, as when a worker is killed.
func (r *rig) end() {
	r.stop()
	if err := r.journal.Close(); err != nil {
		r.t.Error(err)
	}
}

// cluster is cluster time now.
func (r *rig) cluster() time.Duration { return r.fake.Boot() + time.Duration(r.clock) }

// task is a power cut of the whole host that starts in a while.
func (r *rig) task(in, length time.Duration) *pb.Task {
	start := r.cluster() + in
	return &pb.Task{
		Run: "run-1", Step: "power.off", Fire: true,
		Fault:          &pb.Fault{Kind: &pb.Fault_PowerOff{PowerOff: &pb.PowerOff{}}},
		StartUnixNanos: int64(start), EndUnixNanos: int64(start + length),
		DeadlineUnixNanos: int64(start + length + 20*time.Second), LeaseNanos: int64(10 * time.Second),
	}
}

// order sends the host's whole set.
func (r *rig) order(tasks ...*pb.Task) {
	r.t.Helper()
	r.index++
	if err := r.engine.Order(&pb.Order{Epoch: 1, Index: r.index, Tasks: tasks}); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

// pass lets time go by, with a renewed lease each second.
func (r *rig) pass(d time.Duration) {
	for until := time.Now().Add(d); time.Now().Before(until); {
		r.engine.Renewed(r.fake.Boot())
		time.Sleep(min(time.Second, time.Until(until)))
	}
	synctest.Wait()
}

// silent lets time go by without a word from anybody.
func (r *rig) silent(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (r *rig) status() *pb.StepStatus {
	r.t.Helper()
	all := r.engine.Statuses()
	if len(all) != 1 {
		r.t.Fatalf("%d statuses, want 1: %v", len(all), all)
	}
	return all[0]
}

func (r *rig) want(state pb.StepState, cause pb.RevertCause) {
	r.t.Helper()
	if s := r.status(); s.GetState() != state || s.GetCause() != cause {
		r.t.Fatalf("step is %s (%s), want %s (%s); refused: %v", text.Word(s.GetState()), text.Word(s.GetCause()),
			text.Word(state), text.Word(cause), s.GetRefused())
	}
}

func (r *rig) wantDark(dark bool) {
	r.t.Helper()
	if running := r.fake.Runs("web"); running == dark {
		r.t.Fatalf("web runs: %v; acting: %v; %v", running, r.fake.Acting(), r.engine.Statuses())
	}
	if acts := len(r.fake.Acting()) > 0; acts != dark {
		r.t.Fatalf("acting: %v, want some: %v", r.fake.Acting(), dark)
	}
}

// kills counts how often web was killed.
func (r *rig) kills() int {
	n := 0
	for _, e := range r.fake.Events() {
		if e.What == "kill" {
			n++
		}
	}
	return n
}

const (
	none     = pb.RevertCause_REVERT_CAUSE_UNSPECIFIED
	reverted = pb.StepState_STEP_STATE_REVERTED
	refusedS = pb.StepState_STEP_STATE_REFUSED
)
