package target

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	pb "squall/proto/squall/v1"
)

// Folder is the cgroup folder, under the agent's base, that holds the workloads
// without a unit or a cgroup of their own. What is below it is ours.
const Folder = "squall.workloads"

// maxProcesses bounds the processes that an object lists.
const maxProcesses = 64

// System is what a resolver reads of the machine; package host has the real one.
type System interface {
	// Unit is what `systemctl show` prints of UnitProperties. It is bounded in time.
	Unit(ctx context.Context, name string) (shown string, err error)
	// Cgroup tells the kernel's number of a cgroup, 0 where there is none, and
	// whether a live process is in it or below.
	Cgroup(cgroup string) (id uint64, populated bool, err error)
	// Processes lists those of a cgroup and of the ones below it, with the inodes
	// of their namespaces.
	Processes(cgroup string) ([]Process, error)
	// Ports lists the ports on which processes wait for strangers, each in its own
	// network namespace.
	Ports(pids []int) []uint32
	// Own is the inodes of this process's namespaces.
	Own() (net, mount uint64)
}

// Process is a process that can't be mistaken for a later one of its number.
type Process struct {
	Pid int
	// Started is in clock ticks since boot.
	Started uint64
	// Net and Mount are the inodes of its namespaces; 0 where it is a zombie, or gone.
	Net, Mount uint64
}

// Resolver makes objects of workloads. Its methods may be called by anyone at
// any time.
type Resolver struct {
	system System
	base   string

	mu sync.Mutex // guards the rest
	// ran are the workloads that were seen running.
	ran map[string]bool
	// places are the cgroups of units, as systemd last told.
	places map[string]string
}

// New resolves with a system. Base is the agent's cgroup, relative to the v2 mount.
func New(system System, base string) *Resolver {
	return &Resolver{system: system, base: strings.Trim(base, "/"), ran: map[string]bool{}, places: map[string]string{}}
}

// Ours tells whether a cgroup is below our own folder: no other is ever removed
// or made anew.
func (r *Resolver) Ours(cgroup string) bool {
	return strings.HasPrefix(path.Clean(cgroup), path.Join(r.base, Folder)+"/")
}

// State is where a workload lives, and whether it does.
type State struct {
	Cgroup string
	// ID is the kernel's number of the cgroup, 0 where there is none now.
	ID uint64
	// Populated says that it has a live process, Coming that systemd is about to run
	// one, and Ran that it had one at some time since boot, as far as can be told.
	Populated, Coming, Ran bool
}

// State finds a workload: at its unit's cgroup, at the one that the config
// names, or at one of ours. It fails where systemd doesn't tell. A unit that is
// seen running where it was before is not asked for again.
func (r *Resolver) State(ctx context.Context, w *pb.Workload) (State, error) {
	s, err := r.look(ctx, w)
	if err != nil {
		return State{}, fmt.Errorf("find workload %s: %w", w.GetName(), err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// The folder of one that is not a unit is there because it was started.
	s.Ran = s.Ran || s.Populated || r.ran[w.GetName()] || w.GetUnit() == "" && s.ID != 0
	r.ran[w.GetName()] = s.Ran
	return s, nil
}

func (r *Resolver) look(ctx context.Context, w *pb.Workload) (State, error) {
	unit := w.GetUnit()
	if place := r.known(w); place != "" {
		s, err := r.at(place)
		if err != nil || unit == "" || s.Populated {
			return s, err
		}
	}
	shown, err := r.system.Unit(ctx, unit)
	if err != nil {
		return State{}, fmt.Errorf("ask for unit %s: %w", unit, err)
	}
	u, err := ParseUnit(shown)
	if err != nil {
		return State{}, fmt.Errorf("unit %s: %w", unit, err)
	}
	s, err := r.at(u.Cgroup)
	s.Coming, s.Ran = u.Coming, u.Ran
	r.mu.Lock()
	defer r.mu.Unlock()
	r.places[w.GetName()] = u.Cgroup
	return s, err
}

// known is where a workload lives without asking anybody; empty for a unit that
// was not asked for yet.
func (r *Resolver) known(w *pb.Workload) string {
	switch {
	case w.GetCgroup() != "":
		return strings.Trim(w.GetCgroup(), "/")
	case w.GetUnit() == "":
		return path.Join(r.base, Folder, w.GetName())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.places[w.GetName()]
}

func (r *Resolver) at(cgroup string) (s State, err error) {
	s.Cgroup = cgroup
	s.ID, s.Populated, err = r.system.Cgroup(cgroup)
	return s, err
}

// Places finds the cgroups of workloads, those of units all at one time: one that
// systemd keeps waiting keeps no other. One that can't be told is left out, and is
// in the error.
func (r *Resolver) Places(ctx context.Context, workloads []*pb.Workload) ([]string, error) {
	places, errs := make([]string, len(workloads)), make([]error, len(workloads))
	each(workloads, func(i int, w *pb.Workload) {
		if w.GetUnit() == "" {
			places[i] = r.known(w)
			return
		}
		s, err := r.State(ctx, w)
		places[i], errs[i] = s.Cgroup, err
	})
	return slices.DeleteFunc(places, func(p string) bool { return p == "" }), errors.Join(errs...)
}

// Object resolves one workload. One that can't be resolved is an object too,
// which says why. Its ports are looked for where somebody asks for them: to find
// them costs more than all the rest.
func (r *Resolver) Object(ctx context.Context, w *pb.Workload, ports bool) *pb.WorkloadFacts {
	o := &pb.WorkloadFacts{
		Name: w.GetName(), CanStart: w.GetUnit() != "" || len(w.GetStart()) > 0, Protect: w.GetProtect(),
	}
	s, err := r.State(ctx, w)
	var all []Process
	if err == nil {
		all, err = r.system.Processes(s.Cgroup)
	}
	if err != nil {
		o.Unresolved = err.Error()
		return o
	}
	o.Cgroup, o.CgroupId, o.Absent, o.Ours = s.Cgroup, s.ID, s.ID == 0, r.Ours(s.Cgroup)
	o.Runs, o.Ran = s.Coming || len(all) > 0, s.Ran
	r.describe(o, all)
	if ports {
		o.Ports = r.system.Ports(numbers(all))
	}
	return o
}

// numbers are those of processes.
func numbers(all []Process) []int {
	var pids []int
	for _, p := range all {
		pids = append(pids, p.Pid)
	}
	return pids
}

// describe adds what there is to say of an object's processes.
func (r *Resolver) describe(o *pb.WorkloadFacts, all []Process) {
	net, mount := r.system.Own()
	for _, p := range all {
		o.NetNamespace = addOther(o.GetNetNamespace(), p.Net, net)
		o.MountNamespace = addOther(o.GetMountNamespace(), p.Mount, mount)
		if len(o.GetProcess()) < maxProcesses {
			o.Process = append(o.Process, &pb.ProcessFacts{Pid: uint32(p.Pid), StartTicks: p.Started})
		}
	}
	o.Processes = uint32(len(all))
}

// addOther adds a namespace that is not our own, once.
func addOther(to []uint64, ns, own uint64) []uint64 {
	if ns == 0 || ns == own || slices.Contains(to, ns) {
		return to
	}
	return append(to, ns)
}

// Objects resolves workloads, those of units all at one time: one that systemd
// keeps waiting keeps no other.
func (r *Resolver) Objects(ctx context.Context, workloads []*pb.Workload, ports bool) []*pb.WorkloadFacts {
	all := make([]*pb.WorkloadFacts, len(workloads))
	each(workloads, func(i int, w *pb.Workload) { all[i] = r.Object(ctx, w, ports) })
	return all
}

// each looks at workloads, at units beside the others: systemd may take its time.
// What the kernel tells it tells at once, and needs no other thread.
func each(workloads []*pb.Workload, look func(i int, w *pb.Workload)) {
	var group sync.WaitGroup
	defer group.Wait()
	for i, w := range workloads {
		if w.GetUnit() != "" {
			group.Go(func() { look(i, w) })
		}
	}
	for i, w := range workloads {
		if w.GetUnit() == "" {
			look(i, w)
		}
	}
}
