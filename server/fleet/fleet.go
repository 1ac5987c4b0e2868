// Package fleet is a server's side of the agents that are connected to it:
// orders, leases and halts out, descriptions, reports and windows in.
//
// Nothing here decides. Orders are read from the newest view and only ever move
// forward; what agents tell becomes commands, gathered so that the log grows
// with what changed and not with how often it was said. A server that is
// behind what an agent has seen neither sends nor renews.
package fleet

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"squall/proto/clock"
	pb "squall/proto/squall/v1"
	"squall/server/state"
)

const (
	// Grace is how long a host may be without a stream before it counts as lost.
	Grace = 3 * time.Second
	// sweepEvery is how often registry and sessions are compared.
	sweepEvery = time.Second
)

// Config is what the fleet needs of its server. All functions may be called
// from any goroutine.
type Config struct {
	// Server is this server's id.
	Server string
	// Doors are the agent doors of all servers, told to every agent.
	Doors []string
	// Lease is that of a host without tasks.
	Lease time.Duration
	// View is the newest state applied here.
	View func() *state.View
	// Propose commits a command, wherever the leader is, or fails when ctx ends.
	Propose func(context.Context, *pb.Command) (*pb.Outcome, error)
	// Confirmed is how old the last word is that came from a leader of a quorum
	// and that this server's state has caught up with.
	Confirmed func() (age time.Duration, ok bool)
	// Time is cluster time; not ok before the first word from a leader.
	Time func() (clock.Reading, bool)
	// Gone tells, on the leader, that another server has not been heard of for
	// so long that its agents' streams can't be alive.
	Gone func(server string) bool
	// Heard takes a halt that an agent has latched.
	Heard func(*pb.HaltLatch)
	// Halts are those that were heard here and are not committed yet: an agent
	// that comes late must hear of them, too.
	Halts func() []*pb.HaltLatch
	// Swept is called each time that streams were compared with the registry.
	Swept func()
	Log   *slog.Logger
}

// Fleet is the agents connected to one server.
type Fleet struct {
	cfg     Config
	hosts   *hosts
	steps   *steps
	windows *merger

	mu       sync.Mutex // guards all below
	sessions map[string]*session
	standby  map[*session]struct{}
	// missed is since when a host that the registry places here has no stream.
	missed  map[string]time.Time
	changed chan struct{} // closed and replaced when an agent has reported
}

// New makes an empty fleet. Sessions may begin at once; nothing is proposed
// before Run.
func New(cfg Config) *Fleet {
	return &Fleet{
		cfg:   cfg,
		hosts: newHosts(), steps: newSteps(), windows: newMerger(),
		sessions: make(map[string]*session), standby: make(map[*session]struct{}),
		missed: make(map[string]time.Time), changed: make(chan struct{}),
	}
}

// Run keeps orders and registry up to date until ctx ends.
func (f *Fleet) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range f.lanes() {
		g.Go(func() error { return l.run(ctx) })
	}
	g.Go(func() error { return f.followView(ctx) })
	g.Go(func() error { return f.sweepRegistry(ctx) })
	return g.Wait()
}

// Deliver hands orders to the agents that are connected here, as the leader
// knows them: this server's own state may still be behind.
func (f *Fleet) Deliver(orders map[string]*pb.Order) {
	for host, order := range orders {
		if s := f.session(host); s != nil {
			s.offer(order)
		}
	}
}

// Alarm tells every agent of a halt at once and names those that were told.
func (f *Fleet) Alarm(latch *pb.HaltLatch) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	told := make([]string, 0, len(f.sessions))
	for host, s := range f.sessions {
		s.out.halt(latch)
		told = append(told, host)
	}
	for s := range f.standby {
		s.out.halt(latch)
	}
	return told
}

// Remind tells every agent its order once more, although it has not changed: what
// agents have latched since, the order may let go of.
func (f *Fleet) Remind() {
	v := f.cfg.View()
	for _, s := range f.all() {
		s.forgetOrder()
		s.consider(v)
	}
}

// Record takes windows of the server's own probes.
func (f *Fleet) Record(windows []*pb.Window) { f.windows.add("", windows, false, nil) }

// Connected is how many agents have their stream here.
func (f *Fleet) Connected() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sessions)
}

// Told is what connected agents said last of their steps, committed or not, and
// a channel that is closed when there is more.
func (f *Fleet) Told() ([]*pb.StepStatus, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*pb.StepStatus
	for _, s := range f.sessions {
		all = append(all, s.told()...)
	}
	return all, f.changed
}

func (f *Fleet) session(host string) *session {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sessions[host]
}

func (f *Fleet) all() []*session {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]*session, 0, len(f.sessions))
	for _, s := range f.sessions {
		all = append(all, s)
	}
	return all
}

func (f *Fleet) tell() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.changed)
	f.changed = make(chan struct{})
}

// followView sends each agent its order when that has changed.
func (f *Fleet) followView(ctx context.Context) error {
	for {
		v := f.cfg.View()
		for _, s := range f.all() {
			s.consider(v)
		}
		select {
		case <-v.Stale():
		case <-ctx.Done():
			return nil
		}
	}
}
