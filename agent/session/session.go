package session

import (
	"context"
	crand "crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"squall/agent/step"
	"squall/agent/undo"
	"squall/proto/clock"
	pb "squall/proto/squall/v1"
)

const (
	// maxMissed is how many pings in a row a server may leave unanswered, or
	// answer without a renewal.
	maxMissed = 2
	// againEvery is how often unconfirmed reports and windows are sent again.
	againEvery = time.Second
	// aside is how often the stream that stands by is pinged while nothing is
	// open; else it is againEvery.
	aside = 3 * time.Second
	// firstRetry and lastRetry bound the wait before a server is dialed again.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 3 * time.Second
)

// Config is what a session works with.
type Config struct {
	Engine *step.Engine
	// Clock is the engine's, too.
	Clock *Clock
	// Host is the host's own config.
	Host *pb.HostConfig
	// Attempt makes one attempt of a probe; nil is probe.Probe.
	Attempt Attempt
	// Servers are the agent doors; what is learned of others goes there.
	Servers *Servers
	Dial    Dial
	Version string
	BootID  string
	Log     *slog.Logger
}

// Session keeps a host in touch with the control plane: one stream in use and
// one standing by at another server. Orders, halts and leases go to the engine;
// its statuses and windows go out, again and again until they are confirmed.
type Session struct {
	engine  *step.Engine
	clock   *Clock
	dial    Dial
	version string
	bootID  string
	// instance tells this process apart from any other that says it is this host.
	instance string
	log      *slog.Logger
	boot     func() time.Duration
	windows  *outbox
	attempt  Attempt
	config   *pb.HostConfig

	news    chan heard
	closing chan struct{}
	links   sync.WaitGroup

	// Owned by Run's goroutine.
	servers         *Servers
	active, standby *link
	retry           map[string]retry
	host            *pb.Host
	reported        map[key]*pb.StepStatus
	again           time.Duration
	glanced         time.Duration
	probes          func([]*pb.ProbeTask)
	try             func(*pb.TryProbes) (refused *pb.ProbesTried)

	mu     sync.Mutex // guards server
	server string
}

// retry is when a server may be dialed again.
type retry struct {
	at    time.Duration
	pause time.Duration
}

// New makes a session.
func New(c Config) *Session {
	return &Session{
		engine: c.Engine, clock: c.Clock, dial: c.Dial, version: c.Version, bootID: c.BootID, instance: crand.Text(), log: c.Log,
		boot: c.Clock.boot, windows: &outbox{}, attempt: c.Attempt, config: c.Host, servers: c.Servers,
		news: make(chan heard, queued), closing: make(chan struct{}),
		retry: map[string]retry{}, reported: map[key]*pb.StepStatus{},
	}
}

// Server is the one in use; empty when there is none.
func (s *Session) Server() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server
}

// Run keeps in touch with the servers, describes the host to them and measures
// for them, until ctx ends.
func (s *Session) Run(ctx context.Context) error {
	hosts := make(chan *pb.Host)
	attempt := attemptsOf(s.engine, s.attempt, s.config)
	measure := newMeasurer(s.engine, attempt, s.config, s.windows)
	defer measure.Close()
	trials := newTrials(attempt)
	defer trials.work.Wait()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return describeHost(ctx, s.engine.Host(), hosts, s.log) })
	group.Go(func() error { return s.talkToServers(ctx, hosts, measure.Set, trials) })
	return group.Wait()
}

// talkToServers keeps in touch until ctx ends. It sends what hosts yields, sets
// the probes of each order, and tries those of plans.
func (s *Session) talkToServers(ctx context.Context, hosts <-chan *pb.Host, probes func([]*pb.ProbeTask), trials *trials) error {
	s.probes = probes
	s.try = func(asked *pb.TryProbes) *pb.ProbesTried { return trials.begin(ctx, asked) }
	defer func() {
		s.drop(s.active)
		s.drop(s.standby)
		close(s.closing)
		s.links.Wait()
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s.host = <-hosts:
			s.say(&pb.SessionRequest{Kind: &pb.SessionRequest_Host{Host: s.host}})
			s.connect(ctx)
		case h := <-s.news:
			s.hear(h)
		case <-s.engine.Changed():
			s.report(false)
		case tried := <-trials.made:
			s.sayTried(tried)
		case <-timer.C:
			s.tick(ctx)
			timer.Reset(s.pace())
		}
	}
}

// pace is how often to tick: soon again while no server answers.
func (s *Session) pace() time.Duration {
	if s.active == nil || !s.active.welcome {
		return min(s.engine.Pace(), firstRetry)
	}
	return s.engine.Pace()
}

// tick pings, looks whether the server still answers, and connects.
func (s *Session) tick(ctx context.Context) {
	if l := s.active; l != nil && l.welcome && (l.sent-l.answered >= maxMissed || l.unrenewed >= maxMissed) {
		s.log.Warn("change over", "from", l.address, "missed", l.sent-l.answered, "unrenewed", l.unrenewed)
		s.changeOver()
	}
	s.connect(ctx)
	s.ping(s.active)
	if now := s.boot(); now >= s.again {
		s.again = now + againEvery
		s.report(true)
		s.pingStandby(now)
	}
	s.sendWindows()
}

// changeOver gives the server in use up for the one that stands by. With no
// other to turn to, a server that answers is kept.
func (s *Session) changeOver() {
	if (s.standby == nil || !s.standby.welcome) && s.active.sent-s.active.answered < maxMissed {
		s.active.unrenewed = 0
		return
	}
	old := s.active
	s.putOff(old.address)
	s.drop(old)
	s.active = nil
	s.promote()
}

// promote lets the stream that stands by be the one in use.
func (s *Session) promote() {
	if s.standby == nil || !s.standby.welcome {
		return
	}
	s.active, s.standby = s.standby, nil
	hello := s.hello(false)
	s.active.damage = hello.GetDamage().GetId()
	s.active.send(&pb.SessionRequest{Kind: &pb.SessionRequest_Hello{Hello: hello}})
	s.begin()
}

// begin starts anew with the server in use: it may know nothing.
func (s *Session) begin() {
	s.mu.Lock()
	s.server = s.active.address
	s.mu.Unlock()
	s.log.Info("session", "server", s.active.address)
	s.engine.Retry()
	s.windows.rewind()
	s.ping(s.active)
	s.report(true)
}

// hear takes news from a link.
func (s *Session) hear(h heard) {
	mine := h.link == s.active || h.link == s.standby
	switch {
	case !mine:
	case h.err != nil:
		s.lost(h)
	default:
		s.take(h)
	}
}

// lost forgets a link that has ended.
func (s *Session) lost(h heard) {
	s.log.Info("session ended", "server", h.link.address, "err", h.err)
	s.putOff(h.link.address)
	if h.link == s.standby {
		s.standby = nil
		return
	}
	s.active = nil
	s.mu.Lock()
	s.server = ""
	s.mu.Unlock()
	s.promote()
}

// take carries out what a server says.
func (s *Session) take(h heard) {
	switch k := h.msg.GetKind().(type) {
	case *pb.SessionResponse_Welcome:
		s.welcome(h.link, k.Welcome)
	case *pb.SessionResponse_Pong:
		s.pong(h, k.Pong)
	case *pb.SessionResponse_Order:
		s.order(k.Order)
	case *pb.SessionResponse_Halt:
		if err := s.engine.Halt(k.Halt); err != nil {
			s.log.Error("halt", "err", err)
		}
	case *pb.SessionResponse_WindowsAck:
		s.windows.acked(k.WindowsAck.GetBatch())
		s.sendWindows()
	case *pb.SessionResponse_AddressSets:
		if err := s.engine.AddSets(k.AddressSets.GetSets()); err != nil {
			s.log.Error("take address sets", "err", err)
		}
	case *pb.SessionResponse_TryProbes:
		if refused := s.try(k.TryProbes); refused != nil {
			s.sayTried(refused)
		}
	}
}

func (s *Session) sayTried(tried *pb.ProbesTried) {
	s.say(&pb.SessionRequest{Kind: &pb.SessionRequest_ProbesTried{ProbesTried: tried}})
}

func (s *Session) welcome(l *link, w *pb.Welcome) {
	if l.welcome {
		return
	}
	l.welcome = true
	l.patience.Stop()
	delete(s.retry, l.address)
	s.servers.learn(w.GetServers())
	if l == s.active {
		s.begin()
	}
}

func (s *Session) pong(h heard, p *pb.Pong) {
	l, sent := h.link, time.Duration(p.GetSentBootNanos())
	l.answered = max(l.answered, p.GetSeq())
	if l != s.active {
		return
	}
	if p.GetClusterUnixNanos() != 0 {
		s.clock.add(sent, clock.Reading{
			Unix: p.GetClusterUnixNanos(), Doubt: time.Duration(p.GetUncertaintyNanos()), Term: p.GetTerm(),
			Slewed: time.Duration(p.GetSlewedNanos()), SlewPPM: p.GetSlewPpm(),
		}, h.at)
	}
	if !p.GetRenewed() {
		l.unrenewed++
		s.log.Debug("not renewed", "server", l.address, "why", p.GetWhyNot())
		return
	}
	l.unrenewed = 0
	s.engine.Renewed(sent)
}

// order hands an order on. One that is behind is what fencing is for.
func (s *Session) order(o *pb.Order) {
	err := s.engine.Order(o)
	if errors.Is(err, undo.ErrBehind) {
		s.log.Warn("refuse order", "err", err)
	} else if err != nil {
		s.log.Error("carry out order", "err", err)
	}
	s.probes(s.engine.Probes())
	s.needSets()
}

func (s *Session) needSets() {
	if missing := s.engine.Missing(); len(missing) > 0 {
		s.say(&pb.SessionRequest{Kind: &pb.SessionRequest_NeedSets{NeedSets: &pb.NeedSets{Digest: missing}}})
	}
}

// ping asks a server for the time, and the one in use for a lease.
func (s *Session) ping(l *link) {
	if l == nil || !l.welcome {
		return
	}
	l.sent++
	s.sayOn(l, &pb.SessionRequest{Kind: &pb.SessionRequest_Ping{Ping: &pb.Ping{
		Seq: l.sent, SentBootNanos: int64(s.boot()), Order: s.engine.Newest(),
		RoundTripNanos: int64(s.clock.roundTrip()),
	}}})
}

// pingStandby finds out in time that the stream that stands by is dead.
func (s *Session) pingStandby(now time.Duration) {
	if s.engine.Idle() && now < s.glanced+aside {
		return
	}
	s.glanced = now
	if l := s.standby; l != nil && l.sent-l.answered >= maxMissed {
		s.putOff(l.address)
		s.drop(l)
		s.standby = nil
	}
	s.ping(s.standby)
}

// say sends on the stream in use.
func (s *Session) say(m *pb.SessionRequest) {
	if s.active != nil && s.active.welcome {
		s.sayOn(s.active, m)
	}
}

// sayOn sends on a stream. One that is stuck is as good as dead.
func (s *Session) sayOn(l *link, m *pb.SessionRequest) {
	if !l.send(m) {
		s.drop(l)
	}
}
