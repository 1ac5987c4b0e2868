package host

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// kernelThread is the flag of processes that are part of the kernel.
const kernelThread = 0x00200000

// Places after a process's name: of how many threads it has, and of its start.
const (
	threadsField = 17
	startField   = 19
)

// stat is what we need of /proc/PID/stat.
type stat struct {
	name   string
	state  byte
	parent int
	kernel bool
	// started is in clock ticks since boot; 0 where the kernel doesn't tell.
	started uint64
	// threads counts those of the process; of those that have ended, the first is
	// among them.
	threads int
}

// parseStat reads /proc/PID/stat. The name stands in parentheses and may hold
// anything, parentheses and line breaks included.
func parseStat(b []byte) (stat, bool) {
	begin, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if begin < 0 || end < begin {
		return stat{}, false
	}
	fields := strings.Fields(string(b[end+1:]))
	if len(fields) < 7 || len(fields[0]) != 1 || fields[0][0] < 'A' {
		return stat{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	flags, err2 := strconv.ParseUint(fields[6], 10, 64)
	if err != nil || err2 != nil {
		return stat{}, false
	}
	s := stat{name: printable(string(b[begin+1 : end])), state: fields[0][0], parent: parent, kernel: flags&kernelThread != 0}
	if len(fields) > startField {
		s.started, _ = strconv.ParseUint(fields[startField], 10, 64)
		s.threads, _ = strconv.Atoi(fields[threadsField])
	}
	return s, true
}

// openSeen opens a process that was seen before, unless its number is another's now.
func openSeen(pid int, seen stat) (*Process, error) {
	p, err := OpenPidfd(pid)
	if err != nil {
		return nil, err
	}
	if now, ok := processOf(pid); !ok || now.started != seen.started {
		return nil, errors.Join(fmt.Errorf("open process %d: %w", pid, unix.ESRCH), p.Close())
	}
	return p, nil
}

// zombie tells whether only the parent still knows of the process. One whose first
// thread has ended reads like it, and lives in its other threads.
func (s stat) zombie() bool { return s.ended() && s.threads <= 1 }

// ended tells whether the thread runs no more.
func (s stat) ended() bool { return s.state == 'Z' || s.state == 'X' }

// doomed tells whether a process has been killed and is not dead yet. One that
// is gone is doomed too.
func doomed(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err != nil || pending(b, unix.SIGKILL)
}

// pending reads /proc/PID/status: whether a signal waits for the thread or for
// the process.
func pending(status []byte, signal unix.Signal) bool {
	for line := range bytes.Lines(status) {
		name, mask, _ := strings.Cut(string(line), ":")
		if name != "SigPnd" && name != "ShdPnd" {
			continue
		}
		if set, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64); err == nil && set&(1<<(signal-1)) != 0 {
			return true
		}
	}
	return false
}

// processes reads all processes of this pid namespace.
func processes() (map[int]stat, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	all := map[int]stat{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if s, ok := processOf(pid); ok {
			all[pid] = s
		}
	}
	return all, nil
}

// processOf reads one process, unless it has ended.
func processOf(pid int) (stat, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, false
	}
	return parseStat(b)
}

// spared are processes that no fault may kill: the agent, its helpers and
// everything else of this binary, and what the agent runs under.
func spared(all map[int]stat) map[int]bool {
	spare := map[int]bool{1: true, 2: true}
	for pid := os.Getpid(); pid > 1; pid = all[pid].parent {
		spare[pid] = true
	}
	self, err := os.Stat("/proc/self/exe")
	for pid := range all {
		exe, exeErr := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
		if err == nil && exeErr == nil && os.SameFile(self, exe) {
			spare[pid] = true
		}
	}
	return spare
}

// undeclared are those of all processes that are not claimed, nor spared, nor
// part of the kernel. All must have been listed before the claimed ones: what a
// workload starts in between would be taken for undeclared, and killed. What has
// ended since may have been claimed, and is not told.
func undeclared(all map[int]stat, claimed map[int]bool) map[int]stat {
	spare := spared(all)
	maps.DeleteFunc(all, func(pid int, s stat) bool {
		if s.kernel || spare[pid] || claimed[pid] {
			return true
		}
		s, lives := processOf(pid)
		return !lives || s.zombie()
	})
	return all
}
