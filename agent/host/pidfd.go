package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a process that can't be mistaken for a later one with its number.
type Process struct {
	Pid int
	f   *os.File
}

// OpenPidfd opens a process, whoever its parent is.
func OpenPidfd(pid int) (*Process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	return &Process{Pid: pid, f: os.NewFile(uintptr(fd), fmt.Sprintf("pidfd:%d", pid))}, nil
}

// Wait returns when the process is dead, or when ctx ends. It doesn't reap.
func (p *Process) Wait(ctx context.Context) error {
	conn, err := p.f.SyscallConn()
	if err != nil {
		return fmt.Errorf("wait for process %d: %w", p.Pid, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = p.f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err = conn.Read(func(fd uintptr) bool { return readable(int(fd)) })
	if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
		// The next Wait has a ctx of its own.
		_ = p.f.SetReadDeadline(time.Time{})
		return ctx.Err()
	}
	return wrap(err, "wait for process %d", p.Pid)
}

// Dead tells whether the process has ended, at once.
func (p *Process) Dead() bool { return p.Signal(0) != nil }

// Kill ends the process. A process that is dead already is no error.
func (p *Process) Kill() error {
	if err := p.Signal(unix.SIGKILL); !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// Signal sends a signal.
func (p *Process) Signal(sig unix.Signal) error {
	conn, err := p.f.SyscallConn()
	if err != nil {
		return fmt.Errorf("signal process %d: %w", p.Pid, err)
	}
	var sent error
	err = conn.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), sig, nil, 0) })
	return wrap(errors.Join(err, sent), "signal process %d", p.Pid)
}

// Close lets go of the process; it doesn't touch it.
func (p *Process) Close() error { return p.f.Close() }

// readable polls a descriptor without waiting.
func readable(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 1
}

// Processor tells whether a thread of the process has or wants a processor now,
// and for how long its threads that live have had one. It is false and 0 for a
// process that is gone, and where the kernel keeps no account (CONFIG_SCHED_INFO).
func (p *Process) Processor() (wants bool, had time.Duration) {
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.Pid))
	for _, t := range threads {
		dir := fmt.Sprintf("/proc/%d/task/%s/", p.Pid, t.Name())
		account, err := os.ReadFile(dir + "schedstat")
		if err != nil {
			continue
		}
		had += ranFor(account)
		if b, err := os.ReadFile(dir + "stat"); err == nil {
			s, ok := parseStat(b)
			wants = wants || ok && s.state == 'R'
		}
	}
	return wants, had
}

// ranFor reads /proc/PID/schedstat, which begins with nanoseconds.
func ranFor(account []byte) time.Duration {
	first, _, _ := strings.Cut(string(account), " ")
	n, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(n)
}
