package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	pb "squall/proto/squall/v1"
)

// holdCounters are in the order of the enum in hold.bpf.c.
var holdCounters = []string{"respawns_caught"}

// longestLife is the counter of the longest life of a respawn, exec to exit.
const longestLife = "longest_life_nanos"

// Hold is a HoldDown attachment. A cgroup that is made anew gets a new id,
// which it has to follow.
type Hold struct{ *attached }

// readLife adds the longest life to the counters.
func (h *Hold) readLife(sums map[string]uint64) error {
	var life uint64
	if err := h.coll.Maps[holdMapLongest].Lookup(uint32(0), &life); err != nil {
		return fmt.Errorf("read counter %s: %w", longestLife, err)
	}
	sums[longestLife] = life
	return nil
}

// maxHeld is how many cgroups one hold may have.
const maxHeld = 256

// HoldDown kills each program that the cgroups or their descendants execute,
// before its first instruction. It returns a *Hold. Counters: respawns_caught,
// and longest_life_nanos from exec to exit. What runs without an exec it does
// not see: pair it with cgroup.events.
func (l *Loader) HoldDown(g *pb.Gate, cgroupIDs []uint64) (Attachment, error) {
	if len(cgroupIDs) == 0 {
		return nil, errNoCgroup
	}
	coll, err := l.loadHold(g, cgroupIDs)
	if err != nil {
		return nil, fmt.Errorf("hold down: %w", err)
	}
	lease, err := mapValue(coll.Maps[holdMapLease])
	if err != nil {
		coll.Close()
		return nil, fmt.Errorf("hold down: %w", err)
	}
	var links closers
	for name, point := range map[string]string{
		holdProgHoldExec: "sched_process_exec",
		holdProgHoldExit: "sched_process_exit",
	} {
		l, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: point, Program: coll.Programs[name]})
		if err != nil {
			coll.Close()
			return nil, errors.Join(missing("hold down: attach to raw tracepoint "+point, err), links.Close(), lease.close())
		}
		links = append(links, l)
	}
	h := &Hold{newAttached(coll, lease, links, holdCounters)}
	h.more = h.readLife
	return h, nil
}

// loadHold loads the programs and tells them which cgroups to hold down.
func (l *Loader) loadHold(g *pb.Gate, ids []uint64) (*ebpf.Collection, error) {
	spec, err := loadHold()
	if err != nil {
		return nil, fmt.Errorf("read the programs: %w", err)
	}
	sized(spec, holdMapCgroups, maxHeld)
	coll, err := l.load(spec, nil)
	if err != nil {
		return nil, err
	}
	if err := setGate(coll, gateOf(g)); err != nil {
		coll.Close()
		return nil, err
	}
	if err := fill(coll.Maps[holdMapCgroups], ids); err != nil {
		coll.Close()
		return nil, err
	}
	return coll, nil
}
