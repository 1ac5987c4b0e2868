package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// freezer keeps the processes of a cgroup from running, those that they fork
// included. A frozen process lives, and its sockets stay open.
//
// What is ours is told by an extended attribute with our tag, on the cgroup or,
// for version 1, on a folder of ours: it is there before the first process
// stops, outlives the agent, and goes with the cgroup. What somebody else froze
// or stopped has no such mark, or stands in it, and is left as it is.
type freezer interface {
	// engine names the mechanism.
	engine() string
	// freeze marks and freezes a cgroup; a second time under the same tag it does
	// nothing more.
	freeze(cgroup, tag string) error
	// thaw lets run again what was frozen under the tag, and nothing else. It is
	// legal when nothing was.
	thaw(cgroup, tag string) error
	// frozen tells whether every process of the cgroup is kept from running.
	frozen(cgroup string) (bool, error)
	// tag is the tag under which a cgroup is frozen; empty where we have not.
	tag(cgroup string) string
}

// freezers are the mechanisms that this host has, the best first. Signals are
// the last: a parent sees them, and any SIGCONT undoes them.
func (c cgroups) freezers() []freezer {
	all := []freezer{unifiedFreezer{c}}
	if mount := freezerMount(); mount != "" {
		all = append(all, legacyFreezer{c, mount})
	}
	return append(all, stopper{c})
}

// freezerOf is the best mechanism for a cgroup.
func (c cgroups) freezerOf(cgroup string) (freezer, error) {
	if !c.exists(cgroup) {
		return nil, fmt.Errorf("freeze cgroup %s: there is none", cgroup)
	}
	all := c.freezers()
	if _, err := os.Stat(c.path(cgroup, "cgroup.freeze")); err != nil {
		all = all[1:] // the kernel is older than 5.2
	}
	return all[0], nil
}

// marks of what we froze, and of who was stopped before.
const (
	frozenMark  = "user.squall.frozen"
	stoppedMark = "user.squall.stopped"
	originMark  = "user.squall.origin"
)

// mark sets an attribute of a folder, unless it is there.
func mark(dir, name, value string) error {
	err := unix.Setxattr(dir, name, []byte(value), unix.XATTR_CREATE)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return wrap(err, "mark %s", dir)
}

// marked reads an attribute; empty where there is none, or no folder.
func marked(dir, name string) string {
	value := make([]byte, 64<<10)
	n, err := unix.Getxattr(dir, name, value)
	if err != nil {
		return ""
	}
	return string(value[:n])
}

func unmark(dir, name string) error {
	err := unix.Removexattr(dir, name)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return wrap(err, "remove mark of %s", dir)
}

// thawLimit is how long processes may take to run again.
const (
	thawLimit = 5 * time.Second
	thawTick  = 2 * time.Millisecond
)

// until waits for a condition; past thawLimit it says what did not come about.
func until(what string, holds func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(context.Background(), thawLimit)
	defer cancel()
	for {
		if ok, err := holds(); ok || err != nil {
			return err
		}
		if pause(ctx, thawTick) != nil {
			return fmt.Errorf("%s: not within %s", what, thawLimit)
		}
	}
}

// vanished tells errors of a cgroup that is no more: nothing is frozen there.
func vanished(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV)
}

// unifiedFreezer is cgroup.freeze of version 2.
type unifiedFreezer struct{ cgroups }

func (unifiedFreezer) engine() string { return "cgroup.freeze" }

func (u unifiedFreezer) freeze(cgroup, tag string) error {
	if own := u.tag(cgroup); own != "" && own != tag {
		return fmt.Errorf("freeze cgroup %s: %s holds it frozen", cgroup, own)
	}
	is, err := os.ReadFile(u.path(cgroup, "cgroup.freeze"))
	if err != nil {
		return fmt.Errorf("freeze cgroup %s: %w", cgroup, err)
	}
	if bytes.HasPrefix(is, []byte("1")) {
		return nil // by us already, or by somebody else, who will thaw it
	}
	if err := mark(u.path(cgroup), frozenMark, tag); err != nil {
		return err
	}
	return wrap(u.write(cgroup, "1"), "freeze cgroup %s", cgroup)
}

func (u unifiedFreezer) thaw(cgroup, tag string) error {
	if u.tag(cgroup) != tag {
		return nil
	}
	if err := u.write(cgroup, "0"); err != nil && !vanished(err) {
		return fmt.Errorf("thaw cgroup %s: %w", cgroup, err)
	}
	return unmark(u.path(cgroup), frozenMark)
}

func (u unifiedFreezer) write(cgroup, value string) error {
	return os.WriteFile(u.path(cgroup, "cgroup.freeze"), []byte(value), 0)
}

func (u unifiedFreezer) frozen(cgroup string) (bool, error) {
	b, err := os.ReadFile(u.path(cgroup, "cgroup.events"))
	return bytes.Contains(b, []byte("frozen 1")), wrap(err, "read cgroup %s", cgroup)
}

func (u unifiedFreezer) tag(cgroup string) string { return marked(u.path(cgroup), frozenMark) }

// legacyFreezer is the freezer controller of version 1. Processes are moved
// into a folder of ours, which is frozen, and moved back.
type legacyFreezer struct {
	cgroups
	mountV1 string
}

// freezerMount is where the freezer of version 1 is mounted; empty for nowhere.
func freezerMount() string {
	b, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range bytes.Lines(b) {
		before, after, _ := strings.Cut(string(line), " - cgroup ")
		fields := strings.Fields(before)
		options := after[strings.LastIndexByte(strings.TrimSpace(after), ' ')+1:]
		if len(fields) >= 5 && strings.Contains(","+strings.TrimSpace(options)+",", ",freezer,") {
			return unescape(fields[4])
		}
	}
	return ""
}

func (legacyFreezer) engine() string { return "the freezer of cgroup v1" }

// folder is ours for a cgroup.
func (l legacyFreezer) folder(cgroup string) string {
	sum := sha256.Sum256([]byte(cgroup))
	return filepath.Join(l.mountV1, fmt.Sprintf("squall-frozen-%x", sum[:8]))
}

func (l legacyFreezer) freeze(cgroup, tag string) error {
	dir := l.folder(cgroup)
	if own := l.tag(cgroup); own != "" && own != tag {
		return fmt.Errorf("freeze cgroup %s: %s holds it frozen", cgroup, own)
	}
	origin, err := l.origin(cgroup)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("freeze cgroup %s: %w", cgroup, err)
	}
	if err := errors.Join(mark(dir, originMark, origin), mark(dir, frozenMark, tag)); err != nil {
		return err
	}
	return errors.Join(l.gather(cgroup, dir), l.state(dir, "FROZEN"), l.gather(cgroup, dir))
}

// origin is where the processes of a cgroup stand in the freezer, which must be
// one place: all go back there.
func (l legacyFreezer) origin(cgroup string) (string, error) {
	if at := marked(l.folder(cgroup), originMark); at != "" {
		return at, nil
	}
	pids, err := l.pids(cgroup)
	if err != nil {
		return "", err
	}
	origin := ""
	for _, pid := range pids {
		at := freezerOfProcess(pid)
		if at != "" && origin != "" && at != origin {
			return "", fmt.Errorf("freeze cgroup %s: its processes stand in %s and %s of the freezer: %w", cgroup, origin, at, ErrUnsupported)
		}
		origin = at
	}
	if origin == "" {
		return "/", nil
	}
	return origin, nil
}

// freezerOfProcess is a process's folder in the freezer; empty when it is gone.
func freezerOfProcess(pid int) string {
	all := threadsOf(pid)
	if len(all) == 0 {
		return ""
	}
	b, _ := os.ReadFile(all[0].dir + "/cgroup") // a first thread that has ended stays where it was
	for line := range bytes.Lines(b) {
		parts := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
		if len(parts) == 3 && strings.Contains(","+parts[1]+",", ",freezer,") {
			return parts[2]
		}
	}
	return ""
}

// gather moves processes into a folder until none is outside: they may fork
// meanwhile, but what they fork inside is inside.
func (l legacyFreezer) gather(cgroup, dir string) error {
	inside := strings.TrimPrefix(dir, l.mountV1)
	return until("move cgroup "+cgroup+" into the freezer", func() (bool, error) {
		pids, err := l.pids(cgroup)
		all := true
		for _, pid := range pids {
			if at := freezerOfProcess(pid); at != "" && at != inside {
				all = false
				err = errors.Join(err, move(pid, dir))
			}
		}
		return all, err
	})
}

// move puts a process into a folder; one that has ended is no error.
func move(pid int, dir string) error {
	err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return wrap(err, "move process %d", pid)
}

// state freezes or thaws a folder of ours, and waits until it is.
func (l legacyFreezer) state(dir, want string) error {
	file := filepath.Join(dir, "freezer.state")
	return until("make "+dir+" "+want, func() (bool, error) {
		if err := os.WriteFile(file, []byte(want), 0); err != nil {
			return false, err
		}
		is, err := os.ReadFile(file)
		return strings.TrimSpace(string(is)) == want, err
	})
}

func (l legacyFreezer) thaw(cgroup, tag string) error {
	dir := l.folder(cgroup)
	if l.tag(cgroup) != tag {
		return nil
	}
	if err := l.state(dir, "THAWED"); err != nil {
		return fmt.Errorf("thaw cgroup %s: %w", cgroup, err)
	}
	back := filepath.Join(l.mountV1, marked(dir, originMark))
	return until("empty "+dir, func() (bool, error) {
		b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		for _, pid := range parsePids(b) {
			err = errors.Join(err, move(pid, back))
		}
		if err != nil {
			return false, err
		}
		return unix.Rmdir(dir) == nil, nil
	})
}

func (l legacyFreezer) frozen(cgroup string) (bool, error) {
	b, err := os.ReadFile(filepath.Join(l.folder(cgroup), "freezer.state"))
	return strings.TrimSpace(string(b)) == "FROZEN", wrap(err, "read freezer of cgroup %s", cgroup)
}

func (l legacyFreezer) tag(cgroup string) string { return marked(l.folder(cgroup), frozenMark) }

// stopRounds are made without a pause, since who is not stopped yet forks
// meanwhile.
const stopRounds = 500

// stopper stops each process by a signal.
type stopper struct{ cgroups }

func (stopper) engine() string { return "SIGSTOP" }

// freeze notes who is stopped already, and then stops the others until none
// runs: they may fork meanwhile.
func (s stopper) freeze(cgroup, tag string) error {
	if s.tag(cgroup) == "" {
		stopped, err := s.each(cgroup, func(all threads, _ string) bool { return all.stopped() })
		if err != nil {
			return err
		}
		if err := mark(s.path(cgroup), stoppedMark, tag+"\n"+strings.Join(stopped, " ")); err != nil {
			return err
		}
	}
	if own := s.tag(cgroup); own != tag {
		return fmt.Errorf("stop cgroup %s: %s holds it stopped", cgroup, own)
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
	if s.tag(cgroup) != tag {
		return nil
	}
	_, list, _ := strings.Cut(marked(s.path(cgroup), stoppedMark), "\n")
	before := strings.Fields(list)
	err := until("let cgroup "+cgroup+" run again", func() (bool, error) {
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

func (s stopper) tag(cgroup string) string {
	tag, _, _ := strings.Cut(marked(s.path(cgroup), stoppedMark), "\n")
	return tag
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
