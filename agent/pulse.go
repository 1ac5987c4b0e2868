package agent

import (
	"context"
	"io"
	"sync"
	"time"

	"squall/agent/host"
	pb "squall/proto/squall/v1"
)

// pulse is the worker's end of the pipe to its supervisor.
type pulse struct {
	pipe       io.ReadWriteCloser
	supervisor Scheduled
	engine     *Engine
	// standalone takes its lease from the supervisor.
	standalone bool
	// quickened has a token in it when the pace was raised between two beats.
	quickened chan struct{}

	mu   sync.Mutex // guards all below, and orders the beats
	seq  uint64
	pace time.Duration
}

func newPulse(pipe io.ReadWriteCloser, supervisor Scheduled, standalone bool) *pulse {
	return &pulse{pipe: pipe, supervisor: supervisor, standalone: standalone, quickened: make(chan struct{}, 1)}
}

// run beats until the supervisor is gone, or ctx ends.
func (p *pulse) run(ctx context.Context) error {
	in := beats(p.pipe, ctx.Done())
	defer func() {
		p.pipe.Close()
		for range in { // wait for the reader
		}
	}()
	next := time.NewTimer(0)
	defer next.Stop()
	var hunger hunger
	for supervisor := listening(p.engine.host.Boot(), brisk); ; {
		pace, err := p.beat()
		if err != nil {
			return errOrphaned
		}
		supervisor.follow(p.engine.host.Boot(), pace)
		next.Reset(pace)
		if err := p.listen(ctx, in, next.C, &supervisor); err != nil {
			return err
		}
		now := p.engine.host.Boot()
		silent := supervisor.silent(now)
		if silent <= supervisor.next() {
			hunger.end()
			continue
		}
		hunger.look(now, p.supervisor)
		if silent > hunger.limit(supervisor.limit()) {
			return errOrphaned
		}
	}
}

// listen takes answers until it is time for the next beat.
func (p *pulse) listen(ctx context.Context, in <-chan *pb.Beat, next <-chan time.Time, supervisor *attention) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b, ok := <-in:
			if !ok {
				return errOrphaned
			}
			supervisor.hear(p.engine.host.Boot())
			if p.standalone && b.GetLeaseNanos() > 0 {
				p.engine.Renewed(time.Duration(b.GetEchoBootNanos()))
			}
		case <-p.quickened:
			return nil
		case <-next:
			return nil
		}
	}
}

// beat says that the worker lives, and when it will say so again.
func (p *pulse) beat() (time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.write(p.engine.pulsePace())
	return p.pace, err
}

// quicken beats briskly from now on, for as long as anything is open. When it
// returns, the supervisor has it in its pipe: what is changed afterwards is
// watched closely. A supervisor that is gone is for run to notice.
func (p *pulse) quicken() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pace == brisk || p.write(brisk) != nil {
		return
	}
	select {
	case p.quickened <- struct{}{}:
	default:
	}
}

// write writes a beat. The caller holds mu.
func (p *pulse) write(pace time.Duration) error {
	p.seq++
	p.pace = pace
	return writeBeat(p.pipe, &pb.Beat{
		Seq: p.seq, BootNanos: int64(p.engine.host.Boot()), Ready: true,
		DeadlineBootNanos: int64(p.engine.nextDeadline()), PaceNanos: int64(pace),
	})
}

// watchedHost is a host that nothing is done to before the supervisor has been
// told to watch closely.
type watchedHost struct {
	host.Host
	quicken func()
}

// Do implements host.Host.
func (h watchedHost) Do(ctx context.Context, op *pb.Op) error {
	h.quicken()
	return h.Host.Do(ctx, op)
}

// pulsePace is brisk while a step is open.
func (e *Engine) pulsePace() time.Duration {
	if e.idle() && e.nextDeadline() == 0 {
		return calm
	}
	return brisk
}

// idle says that every step is over.
func (e *Engine) idle() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, any := e.lease()
	return !any
}

// nextDeadline is the earliest deadline in the journal; 0 is none.
func (e *Engine) nextDeadline() time.Duration {
	next := time.Duration(0)
	for _, s := range e.runner.Steps() {
		if s.Open() && s.Deadline() > 0 && (next == 0 || s.Deadline() < next) {
			next = s.Deadline()
		}
	}
	return next
}
