package fleet

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/proto/clock"
	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// rig is a fleet over a machine that commits at once, in a bubble.
type rig struct {
	t       *testing.T
	f       *Fleet
	machine *state.Machine
	heard   []*pb.HaltLatch

	mu       sync.Mutex // guards all below
	index    uint64
	commands []*pb.Command
	// down makes proposals fail, age is that of the leader's last word, gone the
	// servers that the leader has not heard of, behind what a halt is told ahead of.
	down  error
	age   time.Duration
	gone  map[string]bool
	halts []*pb.HaltLatch
}

// inBubble runs a test with a fleet of server s1 in simulated time.
func inBubble(t *testing.T, test func(*rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, machine: state.New(), gone: make(map[string]bool)}
		r.f = New(Config{
			Server: "s1", Doors: []string{"s1:1", "s2:1"}, Lease: 10 * time.Second, View: r.machine.View, Propose: r.propose,
			Confirmed: func() (time.Duration, bool) { r.mu.Lock(); defer r.mu.Unlock(); return r.age, r.age >= 0 },
			Time:      func() (clock.Reading, bool) { return clock.Reading{Unix: time.Now().UnixNano(), Term: 3}, true },
			Gone:      func(s string) bool { r.mu.Lock(); defer r.mu.Unlock(); return r.gone[s] },
			Heard:     func(l *pb.HaltLatch) { r.heard = append(r.heard, l) },
			Halts:     func() []*pb.HaltLatch { r.mu.Lock(); defer r.mu.Unlock(); return r.halts },
			Swept:     func() {},
			Log:       slog.New(slog.DiscardHandler),
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.f.Run(ctx) }()
		test(r)
		r.f.Close()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (r *rig) propose(_ context.Context, cmd *pb.Command) (*pb.Outcome, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down != nil {
		return nil, r.down
	}
	r.index++
	cmd.AtUnixNanos = time.Now().UnixNano()
	r.commands = append(r.commands, proto.CloneOf(cmd))
	return r.machine.Apply(r.index, cmd), nil
}

// pass lets time go by, and all be done that is due.
func (r *rig) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// set changes what the server knows.
func (r *rig) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

func (r *rig) must(cmd *pb.Command) {
	r.t.Helper()
	o, err := r.propose(r.t.Context(), cmd)
	if err != nil || o.GetRefused() != nil {
		r.t.Fatalf("%v: %v, %v", cmd, err, o.GetRefused())
	}
	synctest.Wait()
}

// admit lets in a run of one step on hosts, with the probe "shop" on all of them.
func (r *rig) admit(run string, hosts ...string) {
	r.t.Helper()
	step := &pb.PlannedStep{Id: "s", Fault: &pb.Fault{Kind: &pb.Fault_DnsFail{DnsFail: &pb.DNSFail{}}}, EndNanos: 600e9}
	p := &pb.Plan{
		Experiment: "test", Steps: []*pb.PlannedStep{step}, LengthNanos: 600e9, DeadlineNanos: 610e9, LeaseNanos: 6e9,
		Probes:      []*pb.PlannedProbe{{Name: "shop", Hosts: hosts}},
		AddressSets: []*pb.AddressSet{{Digest: run + "-set", Prefix: []string{"10.0.0.0/8"}}},
	}
	for _, h := range hosts {
		p.Hosts = append(p.Hosts, &pb.PlannedHost{Name: h, Zone: "zone-a"})
		step.Slots = append(step.Slots, &pb.HostSlot{Host: h, EndNanos: 600e9, DeadlineNanos: 610e9})
	}
	r.must(&pb.Command{Kind: &pb.Command_AdmitRun{AdmitRun: &pb.AdmitRun{
		Run: run, Plan: p, Experiment: &pb.Experiment{Version: 1, Name: "test"},
	}}})
}

// host is what the registry knows.
func (r *rig) host(name string) *pb.Registered { return r.machine.View().Host(name) }

func (r *rig) step(run, host string) *pb.StepStatus {
	return r.machine.View().Run(run).GetSteps()["s"].GetHosts()[host]
}

// agent is the far end of a session.
type agent struct {
	r    *rig
	host string
	in   chan *pb.SessionRequest
	out  chan *pb.SessionResponse
	over chan error
	ctx  context.Context
	stop context.CancelFunc
}

// dial opens a session and says nothing.
func (r *rig) dial(host string) *agent {
	ctx, stop := context.WithCancel(r.t.Context())
	a := &agent{r: r, host: host, in: make(chan *pb.SessionRequest), out: make(chan *pb.SessionResponse, 4096), over: make(chan error, 1), ctx: ctx, stop: stop}
	go func() {
		a.over <- r.f.Serve(a, host)
		stop()
	}()
	return a
}

// join opens a session and greets.
func (r *rig) join(host string, changes ...func(*pb.Hello)) *agent {
	a := r.dial(host)
	a.greet(changes...)
	return a
}

func (a *agent) greet(changes ...func(*pb.Hello)) {
	h := &pb.Hello{Host: &pb.Host{Name: a.host, Zone: "zone-a"}, Version: "1", BootId: "boot", Instance: a.host}
	for _, change := range changes {
		change(h)
	}
	a.say(&pb.SessionRequest{Kind: &pb.SessionRequest_Hello{Hello: h}})
}

// Context is the stream's.
func (a *agent) Context() context.Context { return a.ctx }

// Recv is what the agent says, until it hangs up.
func (a *agent) Recv() (*pb.SessionRequest, error) {
	select {
	case m := <-a.in:
		return m, nil
	case <-a.ctx.Done():
		return nil, io.EOF
	}
}

// Send takes what the server says.
func (a *agent) Send(m *pb.SessionResponse) error {
	a.out <- proto.CloneOf(m)
	return nil
}

// say sends a message and waits until all that follows from it is done.
func (a *agent) say(m *pb.SessionRequest) {
	select {
	case a.in <- m:
	case <-a.ctx.Done():
	}
	synctest.Wait()
}

func (a *agent) report(steps ...*pb.StepStatus) {
	a.say(&pb.SessionRequest{Kind: &pb.SessionRequest_Report{Report: &pb.Report{Steps: steps}}})
}

func (a *agent) windows(batch uint64, again bool, ws ...*pb.Window) {
	a.say(&pb.SessionRequest{Kind: &pb.SessionRequest_Windows{Windows: &pb.Windows{Batch: batch, Again: again, Windows: ws}}})
}

// heard are all messages since the last call, by what pick finds in them.
func heard[T any](a *agent, pick func(*pb.SessionResponse) (T, bool)) []T {
	synctest.Wait()
	var all []T
	for {
		select {
		case m := <-a.out:
			if v, ok := pick(m); ok {
				all = append(all, v)
			}
		default:
			return all
		}
	}
}

func orders(m *pb.SessionResponse) (*pb.Order, bool)    { return m.GetOrder(), m.GetOrder() != nil }
func pongs(m *pb.SessionResponse) (*pb.Pong, bool)      { return m.GetPong(), m.GetPong() != nil }
func halts(m *pb.SessionResponse) (*pb.HaltLatch, bool) { return m.GetHalt(), m.GetHalt() != nil }

func acks(m *pb.SessionResponse) (uint64, bool) {
	return m.GetWindowsAck().GetBatch(), m.GetWindowsAck() != nil
}

// ping asks for a lease.
func (a *agent) ping(seen *pb.OrderMark) *pb.Pong {
	a.r.t.Helper()
	a.say(&pb.SessionRequest{Kind: &pb.SessionRequest_Ping{Ping: &pb.Ping{Seq: 1, SentBootNanos: 7, Order: seen}}})
	all := heard(a, pongs)
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1]
}

// ended is why the session is over, nil while it goes on.
func (a *agent) ended() error {
	synctest.Wait()
	select {
	case err := <-a.over:
		return err
	default:
		return nil
	}
}

// stepOn is a status of the step of a run.
func stepOn(run string, s pb.StepState) *pb.StepStatus {
	return &pb.StepStatus{Run: run, Step: "s", State: s}
}

func names(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("host-%04d", i))
	}
	return all
}
