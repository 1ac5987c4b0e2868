package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"squall/agent/host"
	"squall/agent/undo"
	pb "squall/proto/squall/v1"
)

const (
	// pipeFD is the worker's end of the pipe to its supervisor.
	pipeFD = 3
	// orphanTime is how long a worker without a supervisor may take to revert
	// before the next agent on this host ends it.
	orphanTime = 2 * time.Second
	// workers is how many threads of a worker may run Go at one time. On a large
	// machine more would only look for work, each time something wakes it up; on
	// a small one, fewer would let a beat wait for a program that is being loaded.
	workers = 4
	// ExemptMark is on the sockets of the agent's own stream.
	ExemptMark = 0x53514c
)

// Process is an agent on a real host: what its two processes have in common.
type Process struct {
	// Config is the host's own.
	Config *pb.HostConfig
	// State is the agent's folder: journal, locks.
	State string
	// Logs is the folder for what workloads print; empty is one in State.
	Logs string
	// Socket is the path of the host's own Unix socket; empty for none.
	Socket string
	// Cgroup holds the workloads without a cgroup of their own, relative to the
	// v2 mount; empty is the agent's own.
	Cgroup string
	// Servers are the agent doors, host:port or unix:PATH; none is standalone.
	Servers []string
	Dial    Dial
	// Worker starts this binary again as the worker.
	Worker []string
	// Hook is called by the journal around each durable write; nil for none.
	Hook    func(point string)
	Version string
	Log     *slog.Logger
}

// Supervise is the supervisor's life: until ctx ends, no other agent can run on
// the same folder.
func (p *Process) Supervise(ctx context.Context) error {
	if err := os.MkdirAll(p.State, 0o700); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	lock, err := host.LockFile(filepath.Join(p.State, "agent.lock"))
	if err != nil {
		return fmt.Errorf("be the only agent in %s: %w", p.State, err)
	}
	defer lock.Close()
	runtime.GOMAXPROCS(1) // it does one thing at a time, and little
	s := &Supervisor{Start: p.start, Recover: p.recover, Boot: host.BootTime, Log: p.Log}
	if len(p.Servers) == 0 {
		s.Lease = StandaloneLease
	}
	return s.Run(ctx)
}

// Work is the worker's life.
func (p *Process) Work(ctx context.Context) error {
	runtime.GOMAXPROCS(workers)
	pipe, err := host.Inherited(pipeFD)
	if err != nil {
		return fmt.Errorf("find supervisor: %w", err)
	}
	supervisor, err := host.OpenPidfd(os.Getppid())
	if err != nil {
		return fmt.Errorf("find supervisor: %w", err)
	}
	defer supervisor.Close()
	writing, err := p.own(ctx)
	if err != nil {
		return err
	}
	defer writing.Close()
	w := &Worker{
		Rest: host.Rest, Config: p.Config, Journal: p.journal(), Pipe: pipe, Supervisor: supervisor,
		Servers: p.Servers, Dial: p.Dial, Version: p.Version, Log: p.Log,
	}
	if w.Options, err = p.options(); err != nil {
		return err
	}
	h, err := p.open(len(p.Servers) > 0)
	if err != nil {
		return err
	}
	w.Host = h
	if w.Local, err = p.listen(); err != nil {
		return errors.Join(err, h.Close())
	}
	return errors.Join(w.Run(ctx), h.Close())
}

// recover reverts from the journal, which nobody else writes by then.
func (p *Process) recover(ctx context.Context, cause pb.RevertCause) error {
	writing, err := p.own(ctx)
	if err != nil {
		return err
	}
	defer writing.Close()
	o, err := p.options()
	if err != nil {
		return err
	}
	h, err := p.open(false)
	if err != nil {
		return err
	}
	err = errors.Join(Recover(ctx, h, p.journal(), o, cause, p.Log), h.Close())
	return errors.Join(err, host.Rest()) // a supervisor is idle for the rest of its life
}

// own becomes the one that writes the journal. A worker that lost its
// supervisor reverts and ends; one that can't is ended, by the kernel's word on
// who it is.
func (p *Process) own(ctx context.Context) (*os.File, error) {
	path := filepath.Join(p.State, "journal.lock")
	for began := host.BootTime(); ; rest(ctx, brisk/10) {
		f, err := host.LockFile(path)
		if held := new(host.Locked); !errors.As(err, &held) {
			return f, err
		} else if host.BootTime()-began > orphanTime && held.Pid > 0 {
			p.Log.Warn("end a worker without a supervisor", "pid", held.Pid)
			if err := end(ctx, held.Pid); err != nil {
				return nil, fmt.Errorf("end worker %d: %w", held.Pid, err)
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// end kills a process and waits until it is dead.
func end(ctx context.Context, pid int) error {
	process, err := host.OpenPidfd(pid)
	if err != nil {
		return err
	}
	defer process.Close()
	if err := process.Kill(); err != nil {
		return err
	}
	return process.Wait(ctx)
}

func (p *Process) journal() string { return filepath.Join(p.State, "journal") }

func (p *Process) options() (undo.Options, error) {
	boot, err := host.BootID()
	return undo.Options{BootID: boot, Sync: host.Datasync, Hook: p.Hook}, err
}

// open opens the host; ready is for a worker of many hosts that fire at one
// instant: what takes its time is done before anybody asks.
func (p *Process) open(ready bool) (*host.Real, error) {
	return host.Open(p.Config, host.Options{
		Ready: ready,
		Base:  p.Cgroup, Logs: cmp.Or(p.Logs, filepath.Join(p.State, "logs")), Log: p.Log,
		Exempt: &pb.Exempt{Mark: ExemptMark, Servers: p.Servers, Management: p.Config.GetManagement()},
	})
}

// listen opens the host's own socket, for root alone.
func (p *Process) listen() (net.Listener, error) {
	if p.Socket == "" {
		return nil, nil
	}
	if err := os.Remove(p.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("free socket: %w", err)
	}
	l, err := net.Listen("unix", p.Socket)
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	if err := os.Chmod(p.Socket, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("close socket to others: %w", err), l.Close())
	}
	return l, nil
}

// start starts the worker, out of reach of the supervisor's terminal.
func (p *Process) start(ctx context.Context) (Child, error) {
	ours, theirs, err := host.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	// Urgent, or a revert on a busy host would wait in line with the very
	// processes that it starts.
	o := host.ChildOptions{Files: []*os.File{theirs}, Session: true, Urgent: true}
	process, err := host.StartSelf(ctx, p.Worker, o)
	if err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	w := &workerProcess{File: ours, process: process, dead: make(chan struct{})}
	go w.reap(p.Log)
	return w, nil
}

// workerProcess is a Child on a real host.
type workerProcess struct {
	*os.File
	process *host.Child
	dead    chan struct{}
}

// Kill implements Child.
func (w *workerProcess) Kill() error {
	if err := w.process.Kill(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil // it is dead, and reaped
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
	w.process.Close()
}
