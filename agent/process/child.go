package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"squall/agent/host"
)

// pipeFD is the worker's end of the pipe to its supervisor.
const pipeFD = 3

// Inherited finds, in a worker, the pipe to its supervisor and the supervisor.
func Inherited() (pipe *os.File, supervisor *host.Process, err error) {
	if pipe, err = host.Inherited(pipeFD); err != nil {
		return nil, nil, fmt.Errorf("find supervisor: %w", err)
	}
	if supervisor, err = host.OpenPidfd(os.Getppid()); err != nil {
		return nil, nil, fmt.Errorf("find supervisor: %w", errors.Join(err, pipe.Close()))
	}
	return pipe, supervisor, nil
}

// StartWorker starts this binary with the arguments, out of reach of the
// supervisor's terminal, as a worker that finds its pipe with Inherited.
func StartWorker(ctx context.Context, args []string, log *slog.Logger) (Child, error) {
	ours, theirs, err := host.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	// Urgent, or a revert on a busy host would wait in line with the very
	// processes that it starts.
	o := host.ChildOptions{Files: []*os.File{theirs}, Session: true, Urgent: true}
	process, err := host.StartSelf(ctx, args, o)
	if err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	w := &workerProcess{File: ours, process: process, dead: make(chan struct{})}
	go w.reap(log)
	return w, nil
}

// workerProcess is a Child on a real host.
type workerProcess struct {
	*os.File
	process *host.Child
	dead    chan struct{}

	mu     sync.Mutex // guards reaped, and the process until it is
	reaped bool
}

// Kill implements Child.
func (w *workerProcess) Kill() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reaped {
		return nil
	}
	return w.process.Kill()
}

// Dead implements Child.
func (w *workerProcess) Dead() <-chan struct{} { return w.dead }

// Processor implements Child.
func (w *workerProcess) Processor() (wants bool, had time.Duration) { return w.process.Processor() }

// reap waits for the death; its owner waits for Dead.
func (w *workerProcess) reap(log *slog.Logger) {
	defer close(w.dead)
	if err := w.process.Wait(context.Background()); err != nil {
		log.Info("worker ended", "pid", w.process.Pid, "err", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reaped = true
	w.process.Close()
}
