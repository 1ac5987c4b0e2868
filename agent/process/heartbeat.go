package process

import (
	"context"
	"io"
	"sync"
	"time"

	"squall/agent/host"
	pb "squall/proto/squall/v1"
)

// Work is what a worker's heartbeat tells of.
type Work interface {
	// Boot is the time since boot.
	Boot() time.Duration
	// Idle says that every step is over.
	Idle() bool
	// NextDeadline is the earliest deadline in the journal, in boot time; 0 is none.
	NextDeadline() time.Duration
	// Renewed says that a lease was granted, counted from a boot time.
	Renewed(from time.Duration)
}

// Heartbeat is the worker's end of the pipe to its supervisor.
type Heartbeat struct {
	pipe       io.ReadWriteCloser
	supervisor Scheduled
	work       Work
	// standalone takes its lease from the supervisor.
	standalone bool
	// hastened has a token in it when the pace was raised between two beats.
	hastened chan struct{}

	mu   sync.Mutex // guards all below, and orders the beats
	seq  uint64
	pace time.Duration
}

// NewHeartbeat makes a heartbeat for a pipe. A standalone worker takes its lease
// from the answers. Follow says what it tells of, before Run.
func NewHeartbeat(pipe io.ReadWriteCloser, supervisor Scheduled, standalone bool) *Heartbeat {
	return &Heartbeat{pipe: pipe, supervisor: supervisor, standalone: standalone, hastened: make(chan struct{}, 1)}
}

// Follow says whose life it is that beats.
func (p *Heartbeat) Follow(w Work) { p.work = w }

// Run beats until the supervisor is gone, or ctx ends.
func (p *Heartbeat) Run(ctx context.Context) error {
	in := beats(p.pipe, ctx.Done())
	defer func() {
		p.pipe.Close()
		for range in { // wait for the reader
		}
	}()
	next := time.NewTimer(0)
	defer next.Stop()
	var starvation starvation
	for supervisor := listening(p.work.Boot(), busyPace); ; {
		pace, err := p.beat()
		if err != nil {
			return ErrOrphaned
		}
		supervisor.follow(p.work.Boot(), pace)
		next.Reset(pace)
		if err := p.listen(ctx, in, next.C, &supervisor); err != nil {
			return err
		}
		now := p.work.Boot()
		silent := supervisor.silent(now)
		if silent <= supervisor.next() {
			starvation.end()
			continue
		}
		starvation.look(now, p.supervisor)
		if silent > starvation.limit(supervisor.limit()) {
			return ErrOrphaned
		}
	}
}

// listen takes answers until it is time for the next beat.
func (p *Heartbeat) listen(ctx context.Context, in <-chan *pb.Beat, next <-chan time.Time, supervisor *attention) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b, ok := <-in:
			if !ok {
				return ErrOrphaned
			}
			supervisor.hear(p.work.Boot())
			if p.standalone && b.GetLeaseNanos() > 0 {
				p.work.Renewed(time.Duration(b.GetEchoBootNanos()))
			}
		case <-p.hastened:
			return nil
		case <-next:
			return nil
		}
	}
}

// beat says that the worker lives, and when it will say so again.
func (p *Heartbeat) beat() (time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.write(p.workPace())
	return p.pace, err
}

// Quicken beats briskly from now on, for as long as anything is open. When it
// returns, the supervisor has it in its pipe: what is changed afterwards is
// watched closely. A supervisor that is gone is for run to notice.
func (p *Heartbeat) Quicken() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pace == busyPace || p.write(busyPace) != nil {
		return
	}
	select {
	case p.hastened <- struct{}{}:
	default:
	}
}

// write writes a beat. The caller holds mu.
func (p *Heartbeat) write(pace time.Duration) error {
	p.seq++
	p.pace = pace
	return writeBeat(p.pipe, &pb.Beat{
		Seq: p.seq, BootNanos: int64(p.work.Boot()), Ready: true,
		DeadlineBootNanos: int64(p.work.NextDeadline()), PaceNanos: int64(pace),
	})
}

// Watched is a host to which nothing is done before the supervisor has been
// told to watch closely.
func (p *Heartbeat) Watched(h host.Host) host.Host { return watchedHost{h, p.Quicken} }

type watchedHost struct {
	host.Host
	quicken func()
}

// Do implements host.Host.
func (h watchedHost) Do(ctx context.Context, op *pb.Op, armed func()) error {
	h.quicken()
	return h.Host.Do(ctx, op, armed)
}

// workPace is busyPace while a step is open.
func (p *Heartbeat) workPace() time.Duration {
	if p.work.Idle() && p.work.NextDeadline() == 0 {
		return idlePace
	}
	return busyPace
}
