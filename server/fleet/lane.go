package fleet

import (
	"context"
	"crypto/rand"
	"log/slog"
	"time"

	pb "squall/proto/squall/v1"
)

// queue gathers what will be one command.
type queue interface {
	// ready has a token in it when there may be something to take.
	ready() <-chan struct{}
	// take empties the queue into a command, nil when there is nothing. committed
	// is called after the commit and may be nil.
	take() (cmd *pb.Command, committed func(*pb.Outcome))
}

// lane proposes what its queue has gathered, one command at a time: while one
// is on its way, the next fills up. So a lone item waits for nothing, and a
// flood becomes few commands.
type lane struct {
	queue  queue
	gather time.Duration // waited before taking
	// early tells that nothing can follow yet from what is gathered, so that it may
	// wait for patience; nil where all must go.
	early   func() bool
	propose func(context.Context, *pb.Command) (*pb.Outcome, error)
	log     *slog.Logger
}

const (
	// gatherWindows lets the windows of one second meet. Abort rules wait for them.
	gatherWindows = 100 * time.Millisecond
	// Patience is how long a report may wait from which nothing can follow yet.
	Patience = 10 * time.Millisecond
)

func (f *Fleet) lanes() []lane {
	make := func(q queue, gather time.Duration) lane {
		return lane{queue: q, gather: gather, propose: f.cfg.Propose, log: f.cfg.Log}
	}
	steps := make(f.steps, 0)
	steps.early = f.early
	return []lane{make(f.hosts, 0), steps, make(f.windows, gatherWindows)}
}

func (l lane) run(ctx context.Context) error {
	for {
		select {
		case <-l.queue.ready():
		case <-ctx.Done():
			return nil
		}
		if l.gather > 0 {
			select {
			case <-time.After(l.gather):
			case <-ctx.Done():
				return nil
			}
		}
		l.wait(ctx)
		l.commit(ctx)
	}
}

// wait lets reports meet from which nothing can follow yet.
func (l lane) wait(ctx context.Context) {
	if l.early == nil || !l.early() {
		return
	}
	late := time.NewTimer(Patience)
	defer late.Stop()
	for l.early() {
		select {
		case <-l.queue.ready():
		case <-late.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// early tells whether nothing can follow from the reports that wait here, for
// other hosts of this server are still to say as much.
func (f *Fleet) early() bool {
	waiting := f.steps.some()
	for _, s := range waiting {
		said := func(host string) pb.StepState { return f.session(host).said(s) }
		if !f.cfg.View().Early(s, func(host string) bool { return f.session(host) != nil }, said) {
			return false
		}
	}
	return len(waiting) > 0
}

func (l lane) commit(ctx context.Context) {
	cmd, committed := l.queue.take()
	if cmd == nil {
		return
	}
	cmd.Id = rand.Text()
	outcome, err := l.propose(ctx, cmd)
	if err != nil {
		l.log.Warn("agents' words were not recorded; they will say them again", "cause", err)
		return
	}
	if outcome.GetRefused() != nil {
		l.log.Warn("agents' words were refused", "cause", outcome.GetRefused().GetMessage())
	}
	if committed != nil {
		committed(outcome)
	}
}

// signal is a token that says that there is something to do.
type signal chan struct{}

func (s signal) set() {
	select {
	case s <- struct{}{}:
	default:
	}
}
