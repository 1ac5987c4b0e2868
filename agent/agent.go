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

	"squall/agent/host"
	"squall/agent/process"
	"squall/agent/session"
	"squall/agent/undo"
	pb "squall/proto/squall/v1"
)

const (
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
	Dial    session.Dial
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
	s := &process.Supervisor{Start: p.start, Recover: p.recover, Boot: host.BootTime, Log: p.Log}
	if len(p.Servers) == 0 {
		s.Lease = StandaloneLease
	}
	return s.Run(ctx)
}

// Work is the worker's life.
func (p *Process) Work(ctx context.Context) error {
	runtime.GOMAXPROCS(workers)
	pipe, supervisor, err := process.Inherited()
	if err != nil {
		return err
	}
	defer supervisor.Close()
	writing, err := process.Own(ctx, filepath.Join(p.State, "journal.lock"), p.Log)
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
	writing, err := process.Own(ctx, filepath.Join(p.State, "journal.lock"), p.Log)
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

// start starts the worker.
func (p *Process) start(ctx context.Context) (process.Child, error) {
	return process.StartWorker(ctx, p.Worker, p.Log)
}
