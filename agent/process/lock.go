package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"squall/agent/host"
)

const (
	// OrphanTime is how long a worker without a supervisor may take to revert
	// before the next agent on this host ends it.
	OrphanTime = 2 * time.Second
	// dying is how long a killed process may take to die before it counts as
	// stuck in the kernel: it runs no more code of its own, and that is enough.
	dying = 300 * time.Millisecond
)

// JournalLock says which process writes the journal. There is one in each
// process, for as long as that lives.
type JournalLock struct {
	path string
	log  *slog.Logger
	// disk has a token in it while nobody here writes the journal's disk.
	disk chan struct{}

	mu sync.Mutex // guards all below
	// file is the lock, or nil.
	file *os.File
	// taken says that somebody here is at the journal.
	taken bool
}

// NewJournalLock makes a lock of the file at path, which must not be on a disk
// that can hang.
func NewJournalLock(path string, log *slog.Logger) *JournalLock {
	l := &JournalLock{path: path, log: log, disk: make(chan struct{}, 1)}
	l.disk <- struct{}{}
	return l
}

// Take returns when no other process runs code that writes the journal. Who
// holds the lock has patience to end by itself, as a worker does that lost its
// supervisor; then it is killed, by the kernel's word on who it is. One that the
// kernel keeps from dying is not waited for: only Disk waits for its death. Nor
// is a supervisor, which is through with the journal when it starts a worker.
func (l *JournalLock) Take(ctx context.Context, patience time.Duration) error {
	for began := host.BootTime(); ; rest(ctx, busyPace/10) {
		holder, err := l.try()
		if err != nil || holder == 0 || holder == os.Getppid() {
			return err
		}
		if host.BootTime()-began >= patience && holder > 0 {
			l.log.Warn("end the process that holds the journal", "pid", holder)
			if gone, err := l.end(ctx, holder); err != nil || !gone {
				return err
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// try takes the lock, or says who holds it: -1 for nobody any more.
func (l *JournalLock) try() (holder int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken = true
	if l.file != nil {
		return 0, nil
	}
	f, err := host.LockFile(l.path)
	if held := new(host.Locked); errors.As(err, &held) {
		if held.Pid == 0 {
			return -1, nil
		}
		return held.Pid, nil
	}
	l.file = f
	return 0, err
}

// end kills the process that holds the lock and says whether it died soon, or holds
// it no more. Its number may have been given to another process since the kernel
// told it: that one holds no lock, and is let be.
func (l *JournalLock) end(ctx context.Context, pid int) (gone bool, err error) {
	process, opened := host.OpenPidfd(pid)
	if opened == nil {
		defer process.Close()
	}
	if holder, err := l.try(); err != nil || holder != pid {
		return err == nil, err
	}
	if opened != nil {
		return false, fmt.Errorf("end worker %d: %w", pid, opened)
	}
	if err := process.Kill(); err != nil {
		return false, fmt.Errorf("end worker %d: %w", pid, err)
	}
	soon, cancel := context.WithTimeout(ctx, dying)
	defer cancel()
	err = process.Wait(soon)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return false, nil
	}
	return err == nil, err
}

// Disk returns when nobody else can write to the journal's disk any more, and
// nobody in this process does: a write that hangs is done when it is done.
// Closing gives the disk back.
func (l *JournalLock) Disk(ctx context.Context) (io.Closer, error) {
	select {
	case <-l.disk:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for {
		holder, err := l.try()
		if err == nil && holder == 0 {
			return closer(l.give), nil
		}
		if rest(ctx, busyPace); err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("wait for the journal's disk: %w", err), l.give())
		}
	}
}

type closer func() error

// Close implements io.Closer.
func (c closer) Close() error { return c() }

// give gives the disk back, and the lock with it where nobody here needs it.
func (l *JournalLock) give() error {
	l.disk <- struct{}{}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken {
		return nil
	}
	return l.drop()
}

// Release gives the lock back, as soon as nobody here is at the disk.
func (l *JournalLock) Release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken = false
	select {
	case <-l.disk:
		defer func() { l.disk <- struct{}{} }()
		return l.drop()
	default:
		return nil
	}
}

// drop closes the lock. The caller holds mu.
func (l *JournalLock) drop() error {
	f := l.file
	l.file = nil
	if f == nil {
		return nil
	}
	return f.Close()
}
