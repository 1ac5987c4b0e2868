package agent

import (
	"context"
	"io"
	"time"

	pb "squall/proto/squall/v1"
)

// pulse is the worker's end of the pipe to its supervisor.
type pulse struct {
	pipe   io.ReadWriteCloser
	engine *Engine
	// standalone takes its lease from the supervisor.
	standalone bool
}

// run beats until the supervisor is gone, or ctx ends.
func (p *pulse) run(ctx context.Context) error {
	in := beats(p.pipe, ctx.Done())
	defer func() {
		p.pipe.Close()
		for range in { // wait for the reader
		}
	}()
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	supervisor := listening(p.engine.host.Boot())
	for seq := uint64(1); ; {
		if supervisor.silent(p.engine.host.Boot()) > silence {
			return errOrphaned
		}
		if err := p.beat(seq); err != nil {
			return errOrphaned
		}
		seq++
		if err := p.listen(ctx, in, tick.C, &supervisor); err != nil {
			return err
		}
	}
}

// listen takes answers until the next tick.
func (p *pulse) listen(ctx context.Context, in <-chan *pb.Beat, tick <-chan time.Time, supervisor *attention) error {
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
		case <-tick:
			return nil
		}
	}
}

func (p *pulse) beat(seq uint64) error {
	return writeBeat(p.pipe, &pb.Beat{
		Seq: seq, BootNanos: int64(p.engine.host.Boot()), Ready: true,
		DeadlineBootNanos: int64(p.engine.nextDeadline()),
	})
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
