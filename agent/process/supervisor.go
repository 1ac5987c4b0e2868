package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	pb "squall/proto/squall/v1"
)

const (
	// overdue is how long after a deadline in the journal the worker may still
	// be at it.
	overdue = time.Second
	// stuck is how long a killed worker may take to die before it counts as stuck
	// in the kernel: with a disk that hangs it may never.
	stuck = time.Second
	// parting is how long a worker has to revert and end by itself.
	parting = 30 * time.Second
	// steady is how long a worker must live to be started again at once.
	steady = 10 * time.Second
	// stillborn is how many workers in a row may end before their first beat;
	// then the agent ends, for nobody would notice that it does no work.
	stillborn = 3
	// firstPause and lastPause bound the wait before a start after short lives.
	firstPause = 50 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Child is a worker as its supervisor sees it: a pipe for beats, and a process
// that can be killed and is dead at some point.
type Child interface {
	io.ReadWriteCloser
	// Kill ends it without asking. A dead child is no error.
	Kill() error
	// Dead is closed when it is dead.
	Dead() <-chan struct{}
	Scheduled
}

// Supervisor keeps a worker going, and follows its death with a revert. It
// holds no kernel object: nothing ends by its own death.
type Supervisor struct {
	// Start starts a worker.
	Start func(ctx context.Context) (Child, error)
	// Recover opens the journal, reverts what is open in it, sweeps, and closes
	// it. It is called only while no worker runs: each is dead, or killed and
	// kept from dying by the kernel.
	Recover func(ctx context.Context, cause pb.RevertCause) error
	Boot    func() time.Duration
	// Lease is what a standalone worker is granted with each answer; 0 for one
	// that has servers.
	Lease time.Duration
	Log   *slog.Logger
}

// Run recovers, starts a worker, and does so again whenever it dies. When ctx
// ends, it lets the worker revert and end, and reverts what is left. The error
// is why no worker can start.
func (s *Supervisor) Run(ctx context.Context) error {
	pause, unborn := time.Duration(0), 0
	for s.recover(ctx); ctx.Err() == nil; s.recover(ctx) {
		rest(ctx, pause)
		began := s.Boot()
		err := s.tend(ctx)
		if err != nil {
			s.Log.Error("worker ended", "err", err)
		}
		if unborn++; !errors.Is(err, errUnborn) {
			unborn = 0
		}
		if unborn == stillborn && ctx.Err() == nil {
			s.recover(ctx)
			return err
		}
		pause = min(2*max(pause, firstPause), lastPause)
		if s.Boot()-began > steady {
			pause = 0
		}
	}
	return nil
}

// recover reverts what is open. It is done even when the supervisor itself is
// asked to end.
func (s *Supervisor) recover(ctx context.Context) {
	if err := s.Recover(context.WithoutCancel(ctx), pb.RevertCause_REVERT_CAUSE_CRASH); err != nil {
		s.Log.Error("recover", "err", err)
	}
}

// tend lives with one worker, and returns when it is dead, or can't do any more.
func (s *Supervisor) tend(ctx context.Context) error {
	child, err := s.Start(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnborn, err)
	}
	stop := make(chan struct{})
	in := beats(child, stop)
	why := s.watch(ctx, child, in)
	if ctx.Err() != nil {
		s.part(child, in)
	}
	close(stop)
	err = child.Kill()
	child.Close()
	for range in { // wait for the reader
	}
	if err != nil {
		s.Log.Error("kill worker", "err", err)
	}
	s.awaitDeath(child)
	return why
}

// awaitDeath waits for a killed worker, for a while. One that hangs in the
// kernel lets go of what it holds there when its leases run out.
func (s *Supervisor) awaitDeath(child Child) {
	patience := time.NewTimer(stuck)
	defer patience.Stop()
	select {
	case <-child.Dead():
	case <-patience.C:
		s.Log.Error("the worker was killed and does not die; reverting without it", "after", stuck)
	}
}

// watch answers beats until there is a reason to end the worker.
func (s *Supervisor) watch(ctx context.Context, child Child, in <-chan *pb.Beat) error {
	worker, deadline, starvation := listening(s.Boot(), firstBeat/missed), time.Duration(0), starvation{}
	died := errUnborn // until the first beat
	look := time.NewTimer(worker.next())
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-child.Dead():
			return lastWord(in, died)
		case b, ok := <-in:
			if !ok {
				return died
			}
			if b.GetFailed() != "" {
				return fmt.Errorf("%w: %s", died, b.GetFailed())
			}
			died = errDied
			now := s.Boot()
			worker.hear(now)
			worker.follow(now, paceOf(b))
			starvation.end()
			deadline = deadlineHere(now, b)
			if err := s.answer(child, b); err != nil {
				return err
			}
		case <-look.C:
			starvation.look(s.Boot(), child)
		}
		now := s.Boot()
		if err := verdict(now, worker.silent(now), starvation.limit(worker.limit()), deadline); err != nil {
			return err
		}
		look.Reset(worker.next())
	}
}

// lastWord is what a dead worker said that was not heard yet, or that it died.
func lastWord(in <-chan *pb.Beat, died error) error {
	patience := time.NewTimer(busyPace)
	defer patience.Stop()
	for {
		select {
		case b, ok := <-in:
			switch {
			case !ok:
				return died
			case b.GetFailed() != "":
				return fmt.Errorf("%w: %s", died, b.GetFailed())
			}
			died = errDied
		case <-patience.C:
			return died
		}
	}
}

// deadlineHere is the worker's deadline on the supervisor's clock: they differ
// where one of the two reads boot time as programs in the kernel do. 0 is none.
func deadlineHere(now time.Duration, b *pb.Beat) time.Duration {
	if b.GetDeadlineBootNanos() == 0 {
		return 0
	}
	return now + time.Duration(b.GetDeadlineBootNanos()-b.GetBootNanos())
}

// verdict says whether a worker that has been silent for so long has to be ended.
func verdict(now, silent, limit, deadline time.Duration) error {
	switch {
	case silent > limit:
		return fmt.Errorf("%w: silent for %s", errHung, silent)
	case deadline > 0 && now > deadline+overdue:
		return fmt.Errorf("%w: a deadline passed %s ago", errHung, now-deadline)
	}
	return nil
}

func (s *Supervisor) answer(child Child, b *pb.Beat) error {
	return writeBeat(child, &pb.Beat{
		Seq: b.GetSeq(), BootNanos: int64(s.Boot()), LeaseNanos: int64(s.Lease), EchoBootNanos: b.GetBootNanos(),
	})
}

// part closes the pipe, upon which the worker reverts and ends by itself.
func (s *Supervisor) part(child Child, in <-chan *pb.Beat) {
	child.Close()
	patience := time.NewTimer(parting)
	defer patience.Stop()
	for {
		select {
		case <-child.Dead():
			return
		case _, ok := <-in:
			if !ok {
				in = nil
			}
		case <-patience.C:
			s.Log.Error("worker does not end; killing it", "after", parting)
			return
		}
	}
}

// rest waits for d or for ctx.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
