package fleet

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"squall/proto/pki"
	pb "squall/proto/squall/v1"
	"squall/server/state"
)

const (
	// helloTime is how long a new stream may stay silent.
	helloTime = 5 * time.Second
	// maxMessage is the most that an agent may say at one time.
	maxMessage = 1 << 20
	// maxHost is the most that a host's description may take.
	maxHost = 64 << 10
)

// Causes of a session's end, told to the agent.
var (
	errSuperseded = status.Error(codes.Aborted, "end session: the host has a newer one")
	errConflict   = status.Error(codes.AlreadyExists, "begin session: another machine has the certificate of this host, and its agent is connected; nothing is injected on either")
	errSilent     = status.Error(codes.DeadlineExceeded, "end session: the agent was silent for a whole lease")
	errNoHello    = status.Error(codes.DeadlineExceeded, "begin session: no hello")
	errStopping   = status.Error(codes.Unavailable, "end session: the server is stopping")
)

// Stream is an agent's stream, as gRPC gives it.
type Stream interface {
	Context() context.Context
	Recv() (*pb.SessionRequest, error)
	Send(*pb.SessionResponse) error
}

// session is one agent's stream.
type session struct {
	fleet  *Fleet
	host   string
	number uint64
	out    *outbox
	end    context.CancelCauseFunc

	mu    sync.Mutex // guards all below
	hello *pb.Hello
	zone  string
	// seen is the highest order that the agent has or was sent.
	seen *pb.OrderMark
	// sent is the last order sent here, nil before the first.
	sent *pb.OrderMark
	// probes are those of that order, with the host's bit in each.
	probes    map[probeKey]uint32
	lease     time.Duration
	heard     time.Time
	announced time.Time
	trip      int64
	batches   map[uint64]struct{}
	// steps are what the host said and the state does not know, unrecorded their size in bytes.
	steps      map[stepKey]*pb.StepStatus
	unrecorded int
	// wanted are the digests of address sets that the agent waits for.
	wanted []string
	// trials are those that the agent has not answered yet.
	trials map[uint64]chan<- []*pb.Attempt
}

// probeKey names a probe of a run.
type probeKey struct{ run, probe string }

// Serve carries out one session; host is the name in the agent's certificate.
func (f *Fleet) Serve(stream Stream, host string) error {
	ctx, end := context.WithCancelCause(stream.Context())
	defer end(nil)
	s := &session{
		fleet: f, host: host, out: newOutbox(), end: end, lease: f.cfg.Lease, heard: time.Now(),
		batches: make(map[uint64]struct{}), steps: make(map[stepKey]*pb.StepStatus),
		trials: make(map[uint64]chan<- []*pb.Attempt),
	}
	go s.receive(ctx, stream) // ends when this returns and gRPC closes the stream
	defer f.leave(s)
	return s.send(ctx, stream)
}

// Close ends all sessions: agents change over to another server.
func (f *Fleet) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sessions {
		s.end(errStopping)
	}
	for s := range f.standby {
		s.end(errStopping)
	}
}

func (s *session) send(ctx context.Context, stream Stream) error {
	for {
		select {
		case <-s.out.wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		for _, m := range s.out.drain() {
			if err := stream.Send(m); err != nil {
				return fmt.Errorf("send to %s: %w", s.host, err)
			}
		}
	}
}

func (s *session) receive(ctx context.Context, stream Stream) {
	late := time.AfterFunc(helloTime, func() { s.end(errNoHello) })
	defer late.Stop()
	var p pace
	for {
		m, err := stream.Recv()
		if err == nil {
			err = s.take(m)
		}
		if err != nil {
			s.end(err)
			return
		}
		late.Stop()
		if wait := p.wait(proto.Size(m), time.Now()); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
		}
	}
}

// take carries out one message. An error ends the session.
func (s *session) take(m *pb.SessionRequest) error {
	if proto.Size(m) > maxMessage {
		return status.Errorf(codes.ResourceExhausted, "take message: larger than %d bytes", maxMessage)
	}
	s.mu.Lock()
	s.heard = time.Now()
	greeted := s.hello != nil
	s.mu.Unlock()
	if hello := m.GetHello(); hello != nil {
		return s.greet(hello)
	}
	if !greeted {
		return status.Error(codes.FailedPrecondition, "begin session: the first message is not a hello")
	}
	switch k := m.GetKind().(type) {
	case *pb.SessionRequest_Ping:
		s.ping(k.Ping)
	case *pb.SessionRequest_Report:
		s.report(k.Report)
	case *pb.SessionRequest_Windows:
		s.takeWindows(k.Windows)
	case *pb.SessionRequest_NeedSets:
		s.lookUpSets(k.NeedSets)
	case *pb.SessionRequest_ProbesTried:
		s.tried(k.ProbesTried)
	case *pb.SessionRequest_Host:
		return s.describe(k.Host)
	case *pb.SessionRequest_Damage:
		s.takeDamage(k.Damage)
	}
	return nil
}

// greet begins the session, or makes a standby stream the one in use.
func (s *session) greet(hello *pb.Hello) error {
	if err := s.check(hello.GetHost()); err != nil {
		return err
	}
	hello.Damage = standing(hello.GetDamage())
	s.mu.Lock()
	first := s.hello == nil
	s.hello, s.zone = hello, hello.GetHost().GetZone()
	s.seen = later(s.seen, hello.GetOrder())
	s.mu.Unlock()
	if first {
		s.out.greet(&pb.Welcome{Server: s.fleet.cfg.Server, Servers: s.fleet.cfg.Doors})
	}
	if halt := hello.GetHalt(); halt.GetEngaged() && !halt.GetLocal() {
		s.fleet.cfg.Heard(halt)
	}
	s.fleet.join(s, hello.GetStandby())
	for _, latch := range s.fleet.cfg.Halts() {
		s.out.halt(latch)
	}
	return nil
}

// instance is the agent process of the session.
func (s *session) instance() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hello.GetInstance()
}

// check holds a description against the certificate: an agent speaks for its
// own host alone.
func (s *session) check(h *pb.Host) error {
	if h.GetName() != s.host {
		return status.Errorf(codes.PermissionDenied, "begin session: host %q with the certificate of %q", h.GetName(), s.host)
	}
	if err := pki.CheckName(h.GetZone()); err != nil {
		return status.Errorf(codes.InvalidArgument, "begin session: zone: %v", err)
	}
	if proto.Size(h) > maxHost {
		return status.Errorf(codes.ResourceExhausted, "begin session: description is larger than %d bytes", maxHost)
	}
	return nil
}

// consider sends the order of a view when it is news to the agent, and what it
// waits for.
func (s *session) consider(v *state.View) {
	s.sendSets(v)
	mark := v.Mark(s.host)
	s.mu.Lock()
	news := s.sent == nil || before(s.sent, mark)
	behind := s.behind(v)
	s.mu.Unlock()
	if news && !behind {
		s.offer(v.Order(s.host))
	}
}

// offer sends an order unless the agent has a newer one.
func (s *session) offer(o *pb.Order) {
	mark := &pb.OrderMark{Epoch: o.GetEpoch(), Index: o.GetIndex()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if before(mark, s.seen) || s.sent != nil && !before(s.sent, mark) {
		return
	}
	s.sent, s.seen, s.lease = mark, later(s.seen, mark), s.fleet.cfg.Lease
	s.probes = make(map[probeKey]uint32, len(o.GetProbes()))
	for _, p := range o.GetProbes() {
		s.probes[probeKey{p.GetRun(), p.GetProbe().GetName()}] = p.GetBit()
	}
	for _, t := range o.GetTasks() {
		if t.GetLeaseNanos() > 0 {
			s.lease = min(s.lease, time.Duration(t.GetLeaseNanos()))
		}
	}
	s.out.setOrder(answering(o, s.hello.GetHalt(), s.fleet.cfg.View()))
}

// answering is an order whose lever answers to the latch that the agent came
// with, if that was let go of: by itself a lever names the newest halts only.
// One that was pulled after the order was made may well be engaged.
func answering(o *pb.Order, latch *pb.HaltLatch, v *state.View) *pb.Order {
	lever, pulled := o.GetHalt(), v.PulledAt(latch.GetId())
	if lever.GetEngaged() || latch.GetLocal() || pulled == 0 || pulled > o.GetIndex() || v.Epoch() != o.GetEpoch() {
		return o
	}
	o = proto.CloneOf(o)
	o.Halt.Also = append(o.GetHalt().GetAlso(), latch.GetId())
	return o
}

// forgetOrder has the next order sent even where the agent has it.
func (s *session) forgetOrder() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = nil
}

// behind tells whether the agent has seen more than a view knows. The caller
// holds mu.
func (s *session) behind(v *state.View) bool {
	return before(&pb.OrderMark{Epoch: v.Epoch(), Index: v.Index()}, s.seen)
}

// said is how far the host has come with the step that another host's report is of,
// by what it said and is not recorded yet. A host without a session said nothing.
func (s *session) said(of *pb.StepStatus) pb.StepState {
	if s == nil {
		return pb.StepState_STEP_STATE_UNSPECIFIED
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.steps[stepKey{of.GetRun(), of.GetStep(), s.host}].GetState()
}

func (s *session) told() []*pb.StepStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*pb.StepStatus, 0, len(s.steps))
	for _, st := range s.steps {
		all = append(all, st)
	}
	return all
}

// before orders marks by epoch, then index; nil is before everything.
func before(a, b *pb.OrderMark) bool {
	if a.GetEpoch() != b.GetEpoch() {
		return a.GetEpoch() < b.GetEpoch()
	}
	return a.GetIndex() < b.GetIndex()
}

func later(a, b *pb.OrderMark) *pb.OrderMark {
	if before(a, b) {
		return b
	}
	return a
}
