package host

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// stopRounds are made without a pause, since who is not stopped yet forks
// meanwhile.
const stopRounds = 500

// stopper stops each process by a signal.
type stopper struct{ cgroups }

func (stopper) engine() string { return "SIGSTOP" }

// freeze notes who is stopped already, and then stops the others until none
// runs: they may fork meanwhile.
func (s stopper) freeze(cgroup, tag string) error {
	if err := free(s, cgroup, tag); err != nil {
		return err
	}
	if own, _ := s.tag(cgroup); own == "" {
		stopped, err := s.each(cgroup, func(all threads, _ string) bool { return all.stopped() })
		if err != nil {
			return err
		}
		if err := mark(s.path(cgroup), stoppedMark, tag+"\n"+strings.Join(stopped, " ")); err != nil {
			return err
		}
	}
	return until("stop the processes of cgroup "+cgroup, func() (bool, error) {
		for range stopRounds {
			left, err := s.signal(cgroup, unix.SIGSTOP, func(all threads, _ string) bool { return !all.halted() })
			if left == 0 || err != nil {
				return err == nil, err
			}
		}
		return false, nil
	})
}

func (s stopper) thaw(cgroup, tag string) error {
	own, list, err := s.noted(cgroup)
	if err != nil || own != tag {
		return wrap(err, "let cgroup %s run again", cgroup)
	}
	before := strings.Fields(list)
	err = until("let cgroup "+cgroup+" run again", func() (bool, error) {
		left, err := s.signal(cgroup, unix.SIGCONT, func(all threads, id string) bool {
			return all.continuable() && !slices.Contains(before, id)
		})
		return left == 0, err
	})
	if err != nil {
		return err
	}
	return unmark(s.path(cgroup), stoppedMark)
}

func (s stopper) frozen(cgroup string) (bool, error) {
	running, err := s.each(cgroup, func(all threads, _ string) bool { return !all.halted() })
	return len(running) == 0, err
}

func (s stopper) tag(cgroup string) (string, error) {
	tag, _, err := s.noted(cgroup)
	return tag, err
}

// noted is the tag under which a cgroup is stopped, and who was stopped before.
func (s stopper) noted(cgroup string) (tag, before string, err error) {
	note, err := marked(s.path(cgroup), stoppedMark)
	tag, before, _ = strings.Cut(note, "\n")
	return tag, before, err
}

// signal sends a signal to processes that are wanted, and counts them.
func (s stopper) signal(cgroup string, sig unix.Signal, wanted func(all threads, id string) bool) (int, error) {
	var errs []error
	found, err := s.each(cgroup, func(all threads, id string) bool {
		if !wanted(all, id) {
			return false
		}
		pid := all[0].pid
		p, err := OpenPidfd(pid)
		if err != nil {
			return false // it has ended
		}
		defer p.Close()
		if started(pid) == id {
			err = p.Signal(sig)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, err)
		}
		return true
	})
	return len(found), errors.Join(append(errs, err)...)
}

// each lists the processes of a cgroup that are wanted, by number and start.
func (s stopper) each(cgroup string, wanted func(all threads, id string) bool) ([]string, error) {
	pids, err := s.pids(cgroup)
	var found []string
	for _, pid := range pids {
		all := threadsOf(pid)
		if id := started(pid); len(all) > 0 && wanted(all, id) {
			found = append(found, id)
		}
	}
	return found, err
}

// started names a process so that it can't be mistaken for a later one with its
// number: "PID:START", the start in ticks since boot.
func started(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 {
		return ""
	}
	return strconv.Itoa(pid) + ":" + fields[19]
}
