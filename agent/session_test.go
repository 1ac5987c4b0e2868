package agent

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"squall/agent/host/hosttest"
	"squall/agent/process"
	"squall/agent/step"
	"squall/agent/undo"
	pb "squall/proto/squall/v1"
)

// door is a server's agent door that does what a test wants.
type door struct {
	pb.UnimplementedAgentServiceServer
	name   string
	listen *bufconn.Listener
	server *grpc.Server
	boot   func() time.Duration

	mu sync.Mutex // guards all below
	// ahead is how far this server's cluster time is from boot time, doubt how
	// far off it says that may be, term whose clock it is.
	ahead, doubt time.Duration
	term         uint64
	// mute answers nothing; stale answers without a renewal; hung loses acks.
	mute, stale, hung bool
	streams           map[grpc.BidiStreamingServer[pb.SessionRequest, pb.SessionResponse]]bool // standby?
	pings             int
	reports           []*pb.Report
	windows           []*pb.Windows
	damage            []*pb.Damage
	others            []string
}

func (d *door) Session(stream grpc.BidiStreamingServer[pb.SessionRequest, pb.SessionResponse]) error {
	defer d.leave(stream)
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		for _, answer := range d.take(stream, m) {
			if err := stream.Send(answer); err != nil {
				return err
			}
		}
	}
}

func (d *door) leave(stream grpc.BidiStreamingServer[pb.SessionRequest, pb.SessionResponse]) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.streams, stream)
}

func (d *door) take(stream grpc.BidiStreamingServer[pb.SessionRequest, pb.SessionResponse], m *pb.SessionRequest) []*pb.SessionResponse {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mute {
		return nil
	}
	switch k := m.GetKind().(type) {
	case *pb.SessionRequest_Hello:
		d.streams[stream] = k.Hello.GetStandby()
		if !k.Hello.GetStandby() {
			d.damage = append(d.damage, k.Hello.GetDamage())
		}
		return []*pb.SessionResponse{{Kind: &pb.SessionResponse_Welcome{Welcome: &pb.Welcome{Server: d.name, Servers: d.others}}}}
	case *pb.SessionRequest_Ping:
		d.pings++
		return []*pb.SessionResponse{{Kind: &pb.SessionResponse_Pong{Pong: &pb.Pong{
			Seq: k.Ping.GetSeq(), SentBootNanos: k.Ping.GetSentBootNanos(), ClusterUnixNanos: int64(d.boot() + d.ahead),
			UncertaintyNanos: int64(d.doubt), Term: d.term, Renewed: !d.stale && !d.streams[stream],
		}}}}
	case *pb.SessionRequest_Damage:
		d.damage = append(d.damage, k.Damage)
	case *pb.SessionRequest_Report:
		d.reports = append(d.reports, k.Report)
	case *pb.SessionRequest_Windows:
		d.windows = append(d.windows, k.Windows)
		if !d.hung {
			return []*pb.SessionResponse{{Kind: &pb.SessionResponse_WindowsAck{WindowsAck: &pb.WindowsAck{Batch: k.Windows.GetBatch()}}}}
		}
	}
	return nil
}

// do changes the door's behaviour.
func (d *door) do(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

// used says whether an agent's stream, not one that stands by, is here.
func (d *door) used() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, standby := range d.streams {
		if !standby {
			return true
		}
	}
	return false
}

// tell sends to every stream that is here.
func (d *door) tell(m *pb.SessionResponse) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for stream := range d.streams {
		_ = stream.Send(m)
	}
}

// region is three doors and a worker that talks to them.
type region struct {
	t     *testing.T
	fake  *hosttest.Fake
	doors map[string]*door
	local *memory
}

func inRegion(t *testing.T, test func(*region)) {
	t.Helper()
	withJournal(t, t.TempDir(), test)
}

// withJournal is a region whose worker finds a journal in a folder.
func withJournal(t *testing.T, dir string, test func(*region)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &region{t: t, fake: hosttest.NewFake(testConfig()), doors: map[string]*door{}, local: newMemory()}
		for _, name := range []string{"s1", "s2", "s3"} {
			r.open(name)
		}
		ctx, cancel := context.WithCancel(context.Background())
		inside, outside := net.Pipe()
		s := &process.Supervisor{
			Boot: r.fake.Boot, Log: slog.New(slog.DiscardHandler),
			Start:   func(context.Context) (process.Child, error) { return &idleChild{outside, make(chan struct{})}, nil },
			Recover: func(context.Context, pb.RevertCause) error { return nil },
		}
		w := &Worker{
			Config: testConfig(), Host: r.fake, Journal: dir, Options: undo.Options{BootID: "fake-boot", Size: 1 << 20},
			Pipe: inside, Supervisor: idle{}, Servers: []string{"s1", "s2", "s3"}, Dial: r.dial, Local: r.local.listen(),
			Log: slog.New(slog.DiscardHandler),
		}
		var both sync.WaitGroup
		both.Go(func() { _ = s.Run(ctx) })
		both.Go(func() { _ = w.Run(ctx) })
		defer func() {
			cancel()
			for _, d := range r.doors {
				d.server.Stop()
			}
			both.Wait()
		}()
		time.Sleep(2 * time.Second)
		test(r)
	})
}

// idleChild is a worker that lives elsewhere and ends with its pipe.
type idleChild struct {
	net.Conn
	dead chan struct{}
}

func (c *idleChild) Kill() error                      { close(c.dead); return nil }
func (c *idleChild) Dead() <-chan struct{}            { return c.dead }
func (c *idleChild) Processor() (bool, time.Duration) { return false, 0 }

func (r *region) open(name string) {
	d := &door{
		name: name, boot: r.fake.Boot, ahead: 1000 * time.Hour, listen: bufconn.Listen(1 << 16), server: grpc.NewServer(),
		streams: map[grpc.BidiStreamingServer[pb.SessionRequest, pb.SessionResponse]]bool{},
	}
	pb.RegisterAgentServiceServer(d.server, d)
	go func() { _ = d.server.Serve(d.listen) }()
	r.doors[name] = d
}

func (r *region) dial(address string) (*grpc.ClientConn, error) {
	return inMemory(func(ctx context.Context, _ string) (net.Conn, error) { return r.doors[address].listen.DialContext(ctx) })
}

// used is the one door that the agent uses.
func (r *region) used() *door {
	r.t.Helper()
	var found *door
	for _, d := range r.doors {
		if d.used() {
			if found != nil {
				r.t.Fatalf("it uses both %s and %s", found.name, d.name)
			}
			found = d
		}
	}
	if found == nil {
		r.t.Fatal("it uses no server")
	}
	return found
}

func (r *region) lease() time.Duration {
	r.t.Helper()
	client, done := r.local.dial(r.t)
	defer done()
	s, err := client.Status(context.Background(), &pb.LocalStatusRequest{})
	if err != nil {
		r.t.Fatal(err)
	}
	return time.Duration(s.GetLeaseLeftNanos())
}

// fire sends an order with a power cut that starts in two seconds.
func (r *region) fire(d *door, index uint64) *pb.Task {
	start := r.fake.Boot() + d.ahead + 2*time.Second
	task := &pb.Task{
		Run: "run-1", Step: "power.off", Fire: true, LeaseNanos: int64(step.DefaultLease),
		Fault:          &pb.Fault{Kind: &pb.Fault_PowerOff{PowerOff: &pb.PowerOff{}}},
		StartUnixNanos: int64(start), EndUnixNanos: int64(start + time.Hour), DeadlineUnixNanos: int64(start + 2*time.Hour),
	}
	order := &pb.Order{Epoch: 1, Index: index, Tasks: []*pb.Task{task}}
	d.tell(&pb.SessionResponse{Kind: &pb.SessionResponse_Order{Order: order}})
	return task
}

func TestSessionCarriesOrdersAndReports(t *testing.T) {
	inRegion(t, func(r *region) {
		d := r.used()
		r.fire(d, 5)
		time.Sleep(3 * time.Second)
		if runs(r.fake) {
			t.Fatal("the order was not carried out")
		}
		d.do(func() {
			last := d.reports[len(d.reports)-1].GetSteps()[0]
			if last.GetState() != held || last.GetRun() != "run-1" {
				t.Errorf("reported: %v", last)
			}
		})
		time.Sleep(5 * step.DefaultLease)
		if runs(r.fake) {
			t.Error("the lease was not renewed")
		}
	})
}

// TestHostTakesANewLeadersTime though it knew that of the one before better:
// all hosts have to begin together.
func TestHostTakesANewLeadersTime(t *testing.T) {
	inRegion(t, func(r *region) {
		d := r.used()
		time.Sleep(3 * time.Second)
		d.do(func() { d.ahead, d.doubt, d.term = d.ahead+3*time.Millisecond, 5*time.Millisecond, d.term+1 })
		time.Sleep(3 * time.Second)
		want := time.Duration(r.fire(d, 5).GetStartUnixNanos()) - d.ahead
		time.Sleep(time.Second)
		for _, e := range r.fake.Events() {
			if gate := e.Op.GetGate(); e.What == "attach" {
				if got := time.Duration(gate.GetStartBootNanos()); got != want {
					t.Errorf("begins %s beside the leader's time", got-want)
				}
				return
			}
		}
		t.Error("nothing was armed")
	})
}

// A server that is told of in mid-fault is exempt at once, before it is dialed.
func TestServerLearnedOfInMidFaultIsExempt(t *testing.T) {
	inRegion(t, func(r *region) {
		first := r.used()
		r.fire(first, 5)
		time.Sleep(3 * time.Second)
		if acting := r.fake.Acting(); len(acting) == 0 {
			t.Fatal("nothing is silent")
		}
		r.open("10.0.0.9:7000")
		for _, d := range r.doors {
			d.do(func() { d.others = []string{"10.0.0.9:7000"} })
		}
		first.do(func() { first.mute = true })
		time.Sleep(4 * time.Second)
		facts, err := r.fake.Facts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got, want := facts.GetExempt().GetServers(), []string{"s1", "s2", "s3", "10.0.0.9:7000"}; !slices.Equal(got, want) {
			t.Errorf("exempt: %v, want %v", got, want)
		}
	})
}

// A server that is learned of after the start is dialed, and so it is exempt.
func TestServerLearnedOfLaterIsExempt(t *testing.T) {
	inRegion(t, func(r *region) {
		first := r.used()
		r.open("10.0.0.9:7000")
		for _, d := range r.doors {
			d.do(func() { d.others = []string{"10.0.0.9:7000", "by-name:7000"} })
		}
		first.do(func() { first.mute = true })
		time.Sleep(10 * time.Second)
		r.fire(r.used(), 5)
		time.Sleep(3 * time.Second)
		for _, e := range r.fake.Events() {
			if s := e.Op.GetSilence(); s != nil {
				if got, want := s.GetExempt().GetServers(), []string{"s1", "s2", "s3", "10.0.0.9:7000"}; !slices.Equal(got, want) {
					t.Errorf("exempt: %v, want %v", got, want)
				}
				return
			}
		}
		t.Error("nothing was silenced")
	})
}

func TestChangeOverWhenServerFallsSilent(t *testing.T) {
	inRegion(t, func(r *region) {
		first := r.used()
		r.fire(first, 5)
		time.Sleep(3 * time.Second)
		first.do(func() { first.mute = true })
		time.Sleep(4 * time.Second)
		if left := r.lease(); left < 8*time.Second {
			t.Errorf("lease left after the change over: %s", left)
		}
		time.Sleep(time.Minute)
		if runs(r.fake) {
			t.Error("the step was reverted, though a server was there")
		}
	})
}

func TestServerThatCanNotRenewIsLeft(t *testing.T) {
	inRegion(t, func(r *region) {
		first := r.used()
		first.do(func() { first.stale = true })
		time.Sleep(4 * time.Second)
		if r.used() == first {
			t.Error("it stays with a server that can't renew")
		}
		if left := r.lease(); left < 8*time.Second {
			t.Errorf("lease left: %s", left)
		}
	})
}

func TestAllServersGoneRevertsAtTheLease(t *testing.T) {
	inRegion(t, func(r *region) {
		r.fire(r.used(), 5)
		time.Sleep(3 * time.Second)
		for _, d := range r.doors {
			d.do(func() { d.mute = true })
		}
		cut := time.Now()
		for !runs(r.fake) && time.Since(cut) < time.Minute {
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(cut); took > step.DefaultLease+time.Second {
			t.Errorf("reverted %s after contact was lost", took)
		}
	})
}

func TestOrderOfAServerThatIsBehindChangesNothing(t *testing.T) {
	inRegion(t, func(r *region) {
		d := r.used()
		r.fire(d, 5)
		time.Sleep(3 * time.Second)
		d.tell(&pb.SessionResponse{Kind: &pb.SessionResponse_Order{Order: &pb.Order{Epoch: 1, Index: 4}}})
		time.Sleep(time.Second)
		if runs(r.fake) {
			t.Error("an older order reverted a newer one's step")
		}
	})
}

func TestHaltIsHeardFromAnyStream(t *testing.T) {
	inRegion(t, func(r *region) {
		r.fire(r.used(), 5)
		time.Sleep(3 * time.Second)
		for _, d := range r.doors {
			if !d.used() {
				d.tell(&pb.SessionResponse{Kind: &pb.SessionResponse_Halt{Halt: &pb.HaltLatch{Id: "h", Engaged: true}}})
			}
		}
		time.Sleep(20 * time.Millisecond)
		if !runs(r.fake) {
			t.Error("the standby's halt was not heard")
		}
	})
}

func TestWindowsTravelUntilTheyAreCommitted(t *testing.T) {
	inRegion(t, func(r *region) {
		d := r.used()
		d.do(func() { d.hung = true })
		probes := []*pb.ProbeTask{{Run: "run-1", Bit: 3, Probe: &pb.PlannedProbe{Name: "zone/dark"}}}
		d.tell(&pb.SessionResponse{Kind: &pb.SessionResponse_Order{Order: &pb.Order{Epoch: 1, Index: 1, Probes: probes}}})
		time.Sleep(7 * time.Second)
		d.do(func() {
			if len(d.windows) < 2 || d.windows[0].GetBatch() != d.windows[1].GetBatch() {
				t.Fatalf("windows without an answer: %v", d.windows)
			}
			if d.windows[0].GetAgain() || !d.windows[1].GetAgain() {
				t.Errorf("again: %v, %v", d.windows[0].GetAgain(), d.windows[1].GetAgain())
			}
			w := d.windows[0].GetWindows()[0]
			if w.GetZone() != "zone-a" || w.GetHosts()[0] != 1<<3 || w.GetSuccess() != 1 {
				t.Errorf("window: %v", w)
			}
			d.hung = false
		})
		time.Sleep(5 * time.Second)
		d.do(func() {
			if last := d.windows[len(d.windows)-1]; last.GetBatch() < 3 {
				t.Errorf("stuck at batch %d", last.GetBatch())
			}
		})
	})
}
