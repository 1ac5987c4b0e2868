package host

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// thread is one of a process's.
type thread struct {
	stat
	pid int
	dir string // in /proc
}

// threads are those of one process that live. A process runs as long as one of
// them does, also where its first has ended or is held by a tracer.
type threads []thread

func threadsOf(pid int) threads {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid)) // none: it has ended
	var all threads
	for _, e := range entries {
		dir := fmt.Sprintf("/proc/%d/task/%s", pid, e.Name())
		b, err := os.ReadFile(dir + "/stat")
		if s, ok := parseStat(b); ok && err == nil && !s.ended() {
			all = append(all, thread{s, pid, dir})
		}
	}
	return all
}

// stopped tells whether a signal, or a tracer, keeps all from running.
func (all threads) stopped() bool {
	return !slices.ContainsFunc(all, func(t thread) bool { return !t.stopped() })
}

// halted tells whether none runs code of its own.
func (all threads) halted() bool {
	signalled := all.signalled()
	return !slices.ContainsFunc(all, func(t thread) bool {
		return !t.stopped() && (t.state != 'D' || !signalled && !t.stopping())
	})
}

// continuable tells whether a signal has stopped the process, or will before a
// thread comes back from the kernel.
func (all threads) continuable() bool {
	return all.signalled() || slices.ContainsFunc(all, thread.stopping)
}

// signalled tells whether a signal has stopped one: then it stops the others
// before they come back from the kernel.
func (all threads) signalled() bool {
	return slices.ContainsFunc(all, func(t thread) bool { return t.state == 'T' })
}

// stopping tells whether a thread that waits in the kernel stops before it
// returns from there. One that started another with vfork waits until that one
// executes a program, and never stops when that one was stopped before.
func (t thread) stopping() bool {
	if t.state != 'D' {
		return false
	}
	b, err := os.ReadFile(t.dir + "/status")
	return err == nil && pending(b, unix.SIGSTOP)
}

// stopped tells whether a signal, or a tracer, keeps the thread from running.
func (s stat) stopped() bool { return s.state == 'T' || s.state == 't' }
