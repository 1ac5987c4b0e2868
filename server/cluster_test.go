package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"squall/agent/host/hosttest"
	"squall/proto/pki"
	pb "squall/proto/squall/v1"
	"squall/server/consensus"
)

// region is servers on loopback, each with a door, a raft port and a log on disk.
type region struct {
	t       *testing.T
	ca      *pki.Authority
	servers []*unit
}

// unit is one server of a region, up or down.
type unit struct {
	*Server
	cfg  Config
	stop context.CancelFunc
	done chan error
}

func newRegion(t *testing.T) *region {
	t.Helper()
	return newRegionWith(t, calm())
}

// calm servers keep their leader though a busy machine, or the race detector,
// lets them wait for a processor: what they promise does not hang on how soon
// they notice that one is gone.
func calm() consensus.Timing {
	timing := consensus.LAN()
	timing.Heartbeat, timing.Lease, timing.Store = time.Second, time.Second, 20*time.Second
	return timing
}

func newRegionWith(t *testing.T, timing consensus.Timing) *region {
	t.Helper()
	return newRegionThat(t, timing, func(*unit) {})
}

// newRegionThat changes each server before it begins.
func newRegionThat(t *testing.T, timing consensus.Timing, change func(*unit)) *region {
	t.Helper()
	ca, err := pki.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	r := &region{t: t, ca: ca}
	var doors []pki.Server
	var ports []consensus.Peer
	for _, id := range []string{"a", "b", "c"} {
		u := &unit{cfg: Config{
			Dir: t.TempDir(), Timing: timing, Log: slog.New(slog.DiscardHandler),
			Doors: []net.Listener{listen(t, hosttest.Loopback()+":0")}, RaftPort: listen(t, hosttest.Loopback()+":0"),
		}}
		doors = append(doors, pki.Server{ID: id, Address: u.cfg.Doors[0].Addr().String()})
		ports = append(ports, consensus.Peer{ID: id, Address: u.cfg.RaftPort.Addr().String()})
		r.servers = append(r.servers, u)
	}
	for i, u := range r.servers {
		u.cfg.Bundle = r.bundle(pb.Role_ROLE_SERVER, doors[i].ID).WithServers(doors)
		u.cfg.RaftPeers = ports
		change(u)
		r.start(u)
	}
	t.Cleanup(func() {
		for _, u := range r.servers {
			r.kill(u)
		}
	})
	return r
}

func (r *region) bundle(role pb.Role, name string) *pki.Bundle {
	r.t.Helper()
	b, err := r.ca.Issue(pki.Identity{Role: role, Name: name})
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

func (r *region) start(u *unit) {
	r.t.Helper()
	if u.cfg.RaftPort == nil {
		for i, p := range u.cfg.RaftPeers {
			if p.ID == u.cfg.Bundle.Identity.Name {
				u.cfg.RaftPort = listen(r.t, p.Address)
				u.cfg.Doors = []net.Listener{listen(r.t, u.cfg.Bundle.Servers[i].Address)}
			}
		}
	}
	s, err := New(u.cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	u.Server, u.stop, u.done = s, cancel, make(chan error, 1)
	go func() { u.done <- s.Run(ctx) }()
}

// kill stops a server. It hands over first, if there is anybody to hand over to.
func (r *region) kill(u *unit) {
	if u.Server == nil {
		return
	}
	u.stop()
	_ = <-u.done // a minority can't hand over, and says so
	u.Server, u.cfg.RaftPort, u.cfg.Doors = nil, nil, nil
}

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (r *region) leader() *unit {
	r.t.Helper()
	var found *unit
	r.wait("a leader", func() bool {
		for _, u := range r.servers {
			if u.Server != nil && u.Leading() {
				found = u
				return true
			}
		}
		return false
	})
	return found
}

func (r *region) follower() *unit {
	r.t.Helper()
	lead := r.leader()
	for _, u := range r.servers {
		if u != lead && u.Server != nil {
			return u
		}
	}
	r.t.Fatal("no follower is up")
	return nil
}

// enough is how long a busy machine may take for what is done at once on an idle one.
const enough = time.Minute

// wait is for things that happen on other goroutines of real servers.
func (r *region) wait(what string, holds func() bool) {
	r.t.Helper()
	for end := time.Now().Add(enough); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if holds() {
			return
		}
	}
	r.t.Fatalf("waited %s for %s", enough, what)
}

// dial connects to a server's door.
func (r *region) dial(u *unit, b *pki.Bundle) *grpc.ClientConn {
	r.t.Helper()
	conn, err := grpc.NewClient(u.cfg.Bundle.Servers[r.index(u)].Address,
		grpc.WithTransportCredentials(credentials.NewTLS(b.ClientTLS())))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (r *region) index(u *unit) int {
	for i, other := range r.servers {
		if other == u {
			return i
		}
	}
	return -1
}

// user is a user's way in, through one server.
func (r *region) user(u *unit) pb.ControlServiceClient {
	r.t.Helper()
	return pb.NewControlServiceClient(r.dial(u, r.bundle(pb.Role_ROLE_USER, "kim")))
}

// agent is an agent as the servers see it.
type agent struct {
	t      *testing.T
	stream grpc.BidiStreamingClient[pb.SessionRequest, pb.SessionResponse]
	end    context.CancelFunc
	order  chan *pb.Order
	pong   chan *pb.Pong
	halt   chan *pb.HaltLatch
	acks   chan uint64
	over   chan error
	index  uint64
}

func (r *region) agent(u *unit, name, zone string) *agent {
	r.t.Helper()
	return r.agentWith(u, name, &pb.Hello{Host: &pb.Host{Name: name, Zone: zone}, BootId: "boot"})
}

func (r *region) agentWith(u *unit, certificate string, hello *pb.Hello) *agent {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r.t.Cleanup(cancel)
	stream, err := pb.NewAgentServiceClient(r.dial(u, r.bundle(pb.Role_ROLE_AGENT, certificate))).Session(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	a := &agent{
		t: r.t, stream: stream, end: cancel, order: make(chan *pb.Order, 64), pong: make(chan *pb.Pong, 64),
		halt: make(chan *pb.HaltLatch, 64), acks: make(chan uint64, 64), over: make(chan error, 1),
	}
	a.say(&pb.SessionRequest{Kind: &pb.SessionRequest_Hello{Hello: hello}})
	go a.listen()
	return a
}

func (a *agent) say(m *pb.SessionRequest) {
	a.t.Helper()
	if err := a.stream.Send(m); err != nil {
		a.t.Log("say:", err)
	}
}

func (a *agent) listen() {
	for {
		m, err := a.stream.Recv()
		if err != nil {
			a.over <- err
			return
		}
		switch k := m.GetKind().(type) {
		case *pb.SessionResponse_Order:
			a.order <- k.Order
		case *pb.SessionResponse_Pong:
			a.pong <- k.Pong
		case *pb.SessionResponse_Halt:
			a.halt <- k.Halt
		case *pb.SessionResponse_WindowsAck:
			a.acks <- k.WindowsAck.GetBatch()
		}
	}
}

// ping asks for a lease and returns the answer.
func (a *agent) ping(mark *pb.OrderMark) *pb.Pong {
	a.t.Helper()
	a.say(&pb.SessionRequest{Kind: &pb.SessionRequest_Ping{Ping: &pb.Ping{Seq: 1, SentBootNanos: 7, Order: mark}}})
	return next(a.t, "pong", a.pong)
}

func next[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(enough):
		t.Fatalf("waited %s for %s", enough, what)
		panic("unreachable")
	}
}

// await reads from a channel until a value is as wanted.
func await[T any](t *testing.T, what string, from <-chan T, want func(T) bool) T {
	t.Helper()
	for {
		if v := next(t, what, from); want(v) {
			return v
		}
	}
}

// settle moves a step on.
func (a *agent) report(run, step, host string, state pb.StepState) {
	a.index++
	a.say(&pb.SessionRequest{Kind: &pb.SessionRequest_Report{Report: &pb.Report{Steps: []*pb.StepStatus{{
		Run: run, Step: step, Host: host, State: state,
		Journal: []*pb.JournalMark{{Seq: a.index, State: state}},
	}}}}})
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// source is an experiment that darkens zone-b.
func source(length string) []byte {
	return []byte(fmt.Sprintf(`
version: 1
name: dark
targets:
  all_b:
    zone: zone-b
timeline:
  - phase: dark
    faults:
      - dns.fail:
          target: all_b
          for: %s
revert:
  timeout: 2s
`, length))
}
