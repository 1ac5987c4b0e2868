package agent

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	// runFolder is where systems keep what does not outlive the boot.
	runFolder = "/run"
	// ExemptMark is on the sockets of the agent's own stream.
	ExemptMark = 0x53514c
)

// Process is an agent on a real host: what its two processes have in common.
type Process struct {
	// Config is the host's own.
	Config *pb.HostConfig
	// State is the agent's folder, for its journal.
	State string
	// Run is a folder on a file system in memory, for locks and the journal's
	// mirror: what must not hang with a disk. Empty is one of its own in
	// /run/squall; where that is no such file system, locks are in State, and
	// there is no mirror.
	Run string
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

	lock *process.JournalLock
	// begun says that this supervisor has started a worker: whoever else holds
	// the journal then is past all patience.
	begun bool
	// left is what the last recovery could not do.
	left error
}

// Supervise is the supervisor's life: until ctx ends, no other agent can run on
// the same folder.
func (p *Process) Supervise(ctx context.Context) error {
	if err := p.settle(); err != nil {
		return err
	}
	lock, err := host.LockFile(filepath.Join(p.Run, "agent.lock"))
	if err != nil {
		return fmt.Errorf("be the only agent in %s: %w", p.State, err)
	}
	defer lock.Close()
	runtime.GOMAXPROCS(1) // it does one thing at a time, and little
	s := &process.Supervisor{Start: p.start, Recover: p.recover, Boot: host.BootTime, Log: p.Log}
	if len(p.Servers) == 0 {
		s.Lease = StandaloneLease
	}
	return errors.Join(s.Run(ctx), p.dropMirror())
}

// dropMirror removes the mirror once everything is on disk: whoever removes that
// may begin afresh.
func (p *Process) dropMirror() error {
	if p.left == nil && p.mirror() != "" {
		return os.Remove(p.mirror())
	}
	return nil
}

// Undo reverts what the journal holds open, where no agent runs: at boot, or when
// one is to be removed. Of an agent that does run, the error is a *host.Locked.
// Every other error is what is still changed, or may be.
func (p *Process) Undo(ctx context.Context) error {
	if !p.known() {
		return nil
	}
	if err := p.settle(); err != nil {
		return err
	}
	lock, err := host.LockFile(filepath.Join(p.Run, "agent.lock"))
	if err != nil {
		return fmt.Errorf("undo what is in %s: %w", p.State, err)
	}
	defer lock.Close()
	p.left = p.revert(ctx, pb.RevertCause_REVERT_CAUSE_CRASH)
	return errors.Join(p.left, p.dropMirror())
}

// known says that an agent has kept its journal here, or that one can't look.
func (p *Process) known() bool {
	_, err := os.Stat(p.journal())
	return !errors.Is(err, os.ErrNotExist)
}

// Work is the worker's life.
func (p *Process) Work(ctx context.Context) (err error) {
	runtime.GOMAXPROCS(workers)
	pipe, supervisor, err := process.Inherited()
	if err != nil {
		return err
	}
	defer supervisor.Close()
	w, h, err := p.worker(ctx)
	if err != nil {
		return errors.Join(err, process.Fail(pipe, err))
	}
	defer func() { err = errors.Join(err, p.lock.Release()) }()
	w.Pipe, w.Supervisor = pipe, supervisor
	if err = w.Run(ctx); err != nil {
		_ = process.Fail(pipe, err) // unless the supervisor is gone
	}
	return errors.Join(err, h.Close())
}

// worker is the worker that is to run, and its host. Nobody else writes the
// journal until the lock is released.
func (p *Process) worker(ctx context.Context) (*Worker, *host.Real, error) {
	if err := p.settle(); err != nil {
		return nil, nil, err
	}
	if err := p.lock.Take(ctx, process.OrphanTime); err != nil {
		return nil, nil, err
	}
	o, err := p.options()
	if err != nil {
		return nil, nil, errors.Join(err, p.lock.Release())
	}
	h, err := p.open(len(p.Servers) > 0)
	if err != nil {
		return nil, nil, errors.Join(err, p.lock.Release())
	}
	local, err := p.listen()
	if err != nil {
		return nil, nil, errors.Join(err, h.Close(), p.lock.Release())
	}
	return &Worker{
		Rest: host.Rest, Config: p.Config, Host: h, Journal: p.journal(), Options: o, Local: local,
		Servers: p.Servers, Dial: p.Dial, Version: p.Version, Log: p.Log,
	}, h, nil
}

// recover reverts from the journal, which nobody else writes by then.
func (p *Process) recover(ctx context.Context, cause pb.RevertCause) error {
	unlisted := p.unlist()
	p.left = p.revert(ctx, cause)
	return errors.Join(p.left, unlisted)
}

// unlist takes the socket of a worker that is no more out of the file system. One
// that the kernel keeps from dying still listens there, and would never answer
// who connects before the next worker does.
func (p *Process) unlist() error {
	if p.Socket == "" {
		return nil
	}
	if err := os.Remove(p.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("free socket: %w", err)
	}
	return nil
}

func (p *Process) revert(ctx context.Context, cause pb.RevertCause) (err error) {
	patience := process.OrphanTime
	if p.begun {
		patience = 0
	}
	if err := p.lock.Take(ctx, patience); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.lock.Release()) }()
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

// settle finds the folder for what must not hang with a disk.
func (p *Process) settle() error {
	if p.Run == "" {
		p.Run = p.ownRun()
	}
	if err := os.MkdirAll(p.Run, 0o700); err != nil {
		return fmt.Errorf("make folder for locks: %w", err)
	}
	if !host.InMemory(p.Run) {
		p.Log.Warn("locks are on a disk, and the journal has no mirror: letting go may wait for that disk", "folder", p.Run)
	}
	p.lock = process.NewJournalLock(filepath.Join(p.Run, "journal.lock"), p.Log)
	return nil
}

// ownRun is the folder of the agent whose journal is in State.
func (p *Process) ownRun() string {
	if !host.InMemory(runFolder) {
		return p.State
	}
	at, err := filepath.Abs(p.State)
	if err != nil {
		at = p.State
	}
	sum := sha256.Sum256([]byte(at))
	return filepath.Join(runFolder, "squall", hex.EncodeToString(sum[:6]))
}

// mirror is the path of the journal's mirror; empty is none.
func (p *Process) mirror() string {
	if !host.InMemory(p.Run) {
		return ""
	}
	return filepath.Join(p.Run, "mirror")
}

func (p *Process) options() (undo.Options, error) {
	boot, err := host.BootID()
	return undo.Options{
		BootID: boot, Sync: host.Datasync, Hook: p.Hook, Mirror: p.mirror(), Own: p.lock.Disk,
	}, err
}

// open opens the host; ready is for a worker of many hosts that fire at one
// instant: what takes its time is done before anybody asks.
func (p *Process) open(ready bool) (*host.Real, error) {
	logs := cmp.Or(p.Logs, filepath.Join(p.State, "logs"))
	return host.Open(p.Config, host.Options{
		Ready: ready,
		Base:  p.Cgroup, Logs: logs, Log: p.Log,
		Spare:  []string{p.State, p.Run, p.Socket, logs},
		Exempt: &pb.Exempt{Mark: ExemptMark, Management: p.Config.GetManagement()},
	})
}

// listen opens the host's own socket, for root alone.
func (p *Process) listen() (net.Listener, error) {
	if p.Socket == "" {
		return nil, nil
	}
	if err := os.MkdirAll(filepath.Dir(p.Socket), 0o700); err != nil {
		return nil, fmt.Errorf("make folder for the socket: %w", err)
	}
	if err := p.unlist(); err != nil {
		return nil, err
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
	p.begun = true
	return process.StartWorker(ctx, p.Worker, p.Log)
}
