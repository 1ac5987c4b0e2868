package host

import (
	"context"
	"io/fs"

	pb "squall/proto/squall/v1"
)

// Freezer is a mechanism that keeps a cgroup from running, for tests.
type Freezer struct{ freezer }

// Freezers are the mechanisms of this host, the best first, and their names.
func Freezers() (all []Freezer, names []string, err error) {
	c, err := openCgroups()
	for _, f := range c.freezers() {
		all, names = append(all, Freezer{f}), append(names, f.engine())
	}
	return all, names, err
}

// Freeze freezes a cgroup under a tag.
func (f Freezer) Freeze(cgroup, tag string) error { return f.freeze(cgroup, tag) }

// Thaw lets run again what was frozen under the tag.
func (f Freezer) Thaw(cgroup, tag string) error { return f.thaw(cgroup, tag) }

// Frozen tells whether the cgroup is kept from running.
func (f Freezer) Frozen(cgroup string) (bool, error) { return f.frozen(cgroup) }

// Tag is the tag under which a cgroup is frozen.
func (f Freezer) Tag(cgroup string) (string, error) { return f.tag(cgroup) }

// Folder is that of the freezer of version 1 for a cgroup; empty for the other
// mechanisms.
func (f Freezer) Folder(cgroup string) string {
	if l, ok := f.freezer.(legacyFreezer); ok {
		return l.folder(cgroup)
	}
	return ""
}

// Started names a process by number and start.
func Started(pid int) string { return started(pid) }

// Stopped tells whether a process is stopped by a signal.
func Stopped(pid int) bool {
	s, _ := processOf(pid)
	return s.stopped()
}

// OnFreeze has h freeze nothing, by a mechanism that takes its time; each time,
// freeze is called instead.
func OnFreeze(h *Real, freeze func(cgroup string)) {
	h.freezerOf = func(string) (freezer, error) { return telling{tell: freeze}, nil }
}

// telling freezes nothing.
type telling struct {
	stopper
	tell func(cgroup string)
}

func (f telling) freeze(cgroup, _ string) error {
	f.tell(cgroup)
	return nil
}

func (telling) tag(string) (string, error) { return "", nil }

// BuildCalledOff arms an operation that is called off while it is made.
func BuildCalledOff(h *Real, op *pb.Op) error {
	o, err := operationOf(op)
	if err != nil {
		return err
	}
	held, _, err := h.enter(context.Background(), op)
	if err != nil {
		return err
	}
	held.cancel()
	h.build(o, held)
	return held.err
}

// FreezeBy has h freeze by its nth mechanism alone, the best being 0.
func FreezeBy(h *Real, n int) {
	c := h.workloads.cgroups
	h.freezerOf = func(cgroup string) (freezer, error) {
		if !c.exists(cgroup) {
			return nil, fs.ErrNotExist
		}
		return c.freezers()[n], nil
	}
}

// Guards are the processes that guard what h has frozen.
func Guards(h *Real) (pids []int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, held := range h.held {
		if z, ok := held.mechanism.(*freezing); ok {
			pids = append(pids, z.guard.child.Pid)
		}
	}
	return pids
}
