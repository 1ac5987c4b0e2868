package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"squall/agent/host/bpf"
	pb "squall/proto/squall/v1"
)

// The kernel frees what a dead holder held a moment after its death.
const (
	settleLimit = 500 * time.Millisecond
	settleTick  = 5 * time.Millisecond
)

// Leftovers implements Host.
func (r *Real) Leftovers(ctx context.Context, held []string) ([]string, error) {
	err := r.detachIf(ctx, func(tag string) bool { return !UnderAny(tag, held) })
	left, scan := settle(ctx, func() ([]string, error) { return strayObjects(true) })
	stray := func(tag string) bool { return !UnderAny(tag, held) }
	left = append(left, r.remaining(search{groups: r.groups(ctx), ours: stray, remove: true})...)
	return append(left, r.workloads.cgroups.sweepScratch(ctx, r.workloads.base)...), errors.Join(err, scan)
}

// Clean implements Host.
func (r *Real) Clean(ctx context.Context, tag string, undo []*pb.Op) ([]*pb.Evidence, error) {
	ours := func(t string) bool { return Under(t, tag) }
	remains := search{undo: undo, groups: append(r.groups(ctx), groupsOf(undo)...), ours: ours}
	left, err := settle(ctx, func() ([]string, error) {
		left := append(r.stillThere(tag), r.remaining(remains)...)
		if r.spotless() {
			return left, nil
		}
		strays, err := strayObjects(false)
		return append(left, strays...), err
	})
	if err != nil {
		return nil, fmt.Errorf("show that %s is clean: %w", tag, err)
	}
	if len(left) == 0 {
		r.forget(tag)
		return []*pb.Evidence{{Name: "left", Holds: true, After: true, Text: "nothing is left in the kernel"}}, nil
	}
	var found []*pb.Evidence
	for _, what := range left {
		found = append(found, &pb.Evidence{Name: "left", Value: 1, After: true, Text: "left: " + what})
	}
	return found, nil
}

// search is a look for what operations have left on the host beyond the life of
// the process that held it.
type search struct {
	host *Real
	// undo are the operations that take back what is looked for, and so say where it
	// may be and how it was before; none in a sweep, for what no step speaks of.
	undo []*pb.Op
	// groups are the cgroups in which it may be, some of them twice.
	groups []string
	// ours tells by its tag what is looked for.
	ours func(tag string) bool
	// remove says that it is to be taken away.
	remove bool
	// freezers are those of the host, for whoever looks at its cgroups.
	freezers []freezer
}

// remaining is what kinds of operation have left beyond their holder's life.
func (r *Real) remaining(s search) []string {
	s.host = r
	var left []string
	for _, o := range r.lasting {
		for _, what := range o.remains(s) {
			if !slices.Contains(left, what) {
				left = append(left, what)
			}
		}
	}
	return left
}

// groupsOf are the cgroups that undos name.
func groupsOf(undo []*pb.Op) []string {
	var all []string
	for _, op := range undo {
		all = append(all, op.GetDetach().GetCgroups()...)
	}
	return all
}

// groups are the cgroups of the host's workloads. One that can't be told is
// passed over: the undo of what may stay in cgroups names them itself.
func (r *Real) groups(ctx context.Context) []string {
	all, err := r.workloads.targets.Places(ctx, r.config.GetWorkloads())
	if err != nil {
		r.log.Warn("look for leftovers", "err", err)
	}
	return all
}

// settle scans until nothing is left, or until the kernel has had time enough.
func settle(ctx context.Context, scan func() ([]string, error)) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	for {
		left, err := scan()
		if err != nil || len(left) == 0 || pause(ctx, settleTick) != nil {
			return left, err
		}
	}
}

// stillThere lists what is held under a tag: its detach has failed.
func (r *Real) stillThere(tag string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var left []string
	for at := range r.held {
		if Under(at.tag, tag) {
			left = append(left, fmt.Sprintf("%s held under %s", at.kind, at.tag))
		}
	}
	return left
}

// forget drops the leases of a tag, once it is clean.
func (r *Real) forget(tag string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.leases, func(t string, _ time.Duration) bool { return Under(t, tag) })
}

// strayObjects lists programs and interfaces of ours in this network namespace
// that no process of ours holds, after trying to remove them if so wanted.
// Programs of other hosts' agents on this kernel are on other interfaces.
func strayObjects(remove bool) ([]string, error) {
	hooks, scan := ourHooks()
	// Not before: what somebody has made meanwhile would be nobody's.
	holders, err := holders()
	if err != nil {
		return nil, fmt.Errorf("scan for leftovers: %w", err)
	}
	var left []string
	for _, h := range hooks {
		if h.heldBy(holders) || remove && h.remove() {
			continue
		}
		left = append(left, h.String())
	}
	return append(left, holders.orphans(remove)...), wrap(scan, "scan for leftovers")
}

// ourHook is a program of ours on an interface, or the TAP of a delay line.
type ourHook struct {
	on net.Interface
	// program is its name; empty for a TAP.
	program string
	// link is what attached it, where linked.
	link   link.ID
	linked bool
}

// ourHooks are those of this network namespace. Where another agent has its faults,
// there are none.
func ourHooks() (all []ourHook, err error) {
	if others, err := othersNetwork(); others || err != nil {
		return nil, err
	}
	links, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, i := range links {
		all = append(all, ourPrograms(i, func(link.ID) bool { return false })...)
		if strings.HasPrefix(i.Name, bpf.TapPrefix) {
			all = append(all, ourHook{on: i})
		}
	}
	return all, nil
}

// ourPrograms are the programs of ours on one interface, but for those whose links
// are known: asking for a program's name costs more than all the rest.
func ourPrograms(i net.Interface, known func(link.ID) bool) (all []ourHook) {
	for _, where := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
		result, err := link.QueryPrograms(link.QueryOptions{Target: i.Index, Attach: where})
		if err != nil {
			continue // no tcx here, so nothing of ours
		}
		for _, p := range result.Programs {
			h := ourHook{on: i}
			if h.link, h.linked = p.LinkID(); h.linked && known(h.link) {
				continue
			}
			if h.program = programName(p.ID); strings.HasPrefix(h.program, bpf.ProgramPrefix) {
				all = append(all, h)
			}
		}
	}
	return all
}

// heldBy tells whether a process of ours holds it.
func (h ourHook) heldBy(by *holding) bool {
	if h.program == "" {
		return len(by.helpers) > 0
	}
	return h.linked && by.links[h.link]
}

// remove takes it off, and tells whether it is.
func (h ourHook) remove() bool {
	if h.program == "" {
		return gone(h.on)
	}
	return h.linked && detached(h.link)
}

// String names it for people.
func (h ourHook) String() string {
	if h.program == "" {
		return "interface " + printable(h.on.Name)
	}
	return fmt.Sprintf("BPF program %s on %s", h.program, printable(h.on.Name))
}

func programName(id ebpf.ProgramID) string {
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return ""
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return ""
	}
	return info.Name
}

// detached takes a link's program off, though someone still holds the link.
func detached(id link.ID) bool {
	l, err := link.NewFromID(id)
	if err != nil {
		return true
	}
	defer l.Close()
	return l.Detach() == nil
}

// gone removes an interface, and tells whether it is removed.
func gone(i net.Interface) bool {
	l, err := netlink.LinkByIndex(i.Index)
	return err != nil || netlink.LinkDel(l) == nil
}

// holding is what living processes of ours hold: this one and its helpers.
type holding struct {
	links map[link.ID]bool
	// helpers are the children of this process that hold objects of the network;
	// lost are helpers without a parent of ours, guards those of them that thaw.
	helpers, lost, guards []int
}

// helperRole is the argument with which this binary plays a child role.
const helperRole = "helper"

// holders finds this process's links and those of its helpers.
func holders() (*holding, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	h := &holding{links: ownLinks()}
	for pid, s := range all {
		if s.zombie() {
			continue
		}
		role := roleOf(pid)
		switch lost := s.parent == 1 || !sameBinary(s.parent); {
		case role == "":
		case s.parent == os.Getpid() && role == GuardRole: // it holds nothing
		case s.parent == os.Getpid():
			h.helpers = append(h.helpers, pid)
			readLinks(pid, h.links)
		case lost && role == GuardRole:
			h.guards = append(h.guards, pid)
		case lost:
			h.lost = append(h.lost, pid)
		}
	}
	return h, nil
}

// orphans are helpers whose worker is dead and that did not end, because they
// are stopped.
func (h *holding) orphans(remove bool) []string {
	var left []string
	for _, pid := range h.lost {
		if remove && killLost(pid) == nil {
			continue
		}
		left = append(left, fmt.Sprintf("helper process %d", pid))
	}
	return append(left, h.orphanedGuards(remove)...)
}

// orphanedGuards are helpers that thaw what a dead worker has frozen, and then
// end: they are not killed, for they may be another agent's, but let go on.
func (h *holding) orphanedGuards(remove bool) []string {
	var left []string
	for _, pid := range h.guards {
		if remove {
			_ = unix.Kill(pid, unix.SIGCONT)
		}
		left = append(left, fmt.Sprintf("guard process %d", pid))
	}
	return left
}

// killLost kills a helper, unless its number is another process's by now.
func killLost(pid int) error {
	p, err := OpenPidfd(pid)
	if err != nil {
		return nil // it has ended
	}
	defer p.Close()
	if roleOf(pid) == "" { // of whoever has that number while p is open
		return nil
	}
	return p.Kill()
}

// roleOf is the child role that a process of this binary plays; empty for any other.
func roleOf(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	args := bytes.Split(b, []byte{0})
	if err != nil || len(args) < 3 || string(args[1]) != helperRole || !sameBinary(pid) {
		return ""
	}
	return string(args[2])
}

func sameBinary(pid int) bool {
	self, err := os.Stat("/proc/self/exe")
	exe, err2 := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && err2 == nil && os.SameFile(self, exe)
}

// ownLinks are the BPF links that this process holds.
func ownLinks() map[link.ID]bool {
	links := map[link.ID]bool{}
	readLinks(os.Getpid(), links)
	return links
}

// readLinks adds the BPF links that a process holds, as its descriptors tell.
func readLinks(pid int, links map[link.ID]bool) {
	dir := fmt.Sprintf("/proc/%d/fdinfo", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // it has ended
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if id, ok := linkID(b); ok && err == nil {
			links[id] = true
		}
	}
}

// linkID finds the id of a BPF link in a descriptor's information.
func linkID(fdinfo []byte) (link.ID, bool) {
	for line := range bytes.Lines(fdinfo) {
		if value, ok := strings.CutPrefix(string(line), "link_id:"); ok {
			id, err := strconv.ParseUint(strings.TrimSpace(value), 10, 32)
			return link.ID(id), err == nil
		}
	}
	return 0, false
}
