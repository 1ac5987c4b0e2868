package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"

	pb "squall/proto/squall/v1"
)

// maxUndeclared bounds the list of what no workload claims.
const maxUndeclared = 64

// sources is the one table of what facts are made of: each adds its part, as far as
// the details are wanted.
func (r *Real) sources() []func(context.Context, *pb.Facts, []Detail) error {
	return []func(context.Context, *pb.Facts, []Detail) error{addBoot, r.addProcesses, addInterfaces}
}

// Facts implements Host. Mechanisms are tried once; while that is under way
// the facts list no abilities, and who asks for a missing one is told by Do.
func (r *Real) Facts(ctx context.Context, details ...Detail) (*pb.Facts, error) {
	f := &pb.Facts{
		Config: r.config, BootOffsetNanos: int64(r.offset),
		Abilities: r.trials.known(), Exempt: r.exemption(),
	}
	for _, add := range r.sources() {
		if err := add(ctx, f, details); err != nil {
			return nil, fmt.Errorf("find facts: %w", err)
		}
	}
	return f, nil
}

// addBoot names this boot.
func addBoot(_ context.Context, f *pb.Facts, _ []Detail) (err error) {
	f.BootId, err = BootID()
	return err
}

// addProcesses describes every workload, and names what none of them claims.
func (r *Real) addProcesses(ctx context.Context, f *pb.Facts, details []Detail) error {
	if !slices.Contains(details, Undeclared) {
		r.describeWorkloads(ctx, f, details)
		return nil
	}
	all, err := processes()
	if err != nil {
		return err
	}
	r.describeWorkloads(ctx, f, details)
	f.Undeclared = names(undeclared(all, r.claimed(f)))
	return nil
}

// Running implements Host.
func (r *Real) Running(ctx context.Context, names ...string) (map[string]bool, error) {
	running := map[string]bool{}
	var errs []error
	for _, w := range r.config.GetWorkloads() {
		if len(names) > 0 && !slices.Contains(names, w.GetName()) {
			continue
		}
		s, err := r.workloads.targets.State(ctx, w)
		if err != nil || s.Ran {
			running[w.GetName()] = s.Populated
		}
		errs = append(errs, err)
	}
	if len(running) == 0 { // nothing has ever run: that is no host in good health
		for _, w := range r.config.GetWorkloads() {
			running[w.GetName()] = false
		}
	}
	return running, errors.Join(errs...)
}

// describeWorkloads describes every workload.
func (r *Real) describeWorkloads(ctx context.Context, f *pb.Facts, details []Detail) {
	f.Workloads = r.workloads.targets.Objects(ctx, r.config.GetWorkloads(), slices.Contains(details, Ports))
	for _, o := range f.GetWorkloads() {
		if o.GetUnresolved() == "" {
			o.Runs = o.GetRuns() || r.keptDown(o.GetCgroup())
		}
	}
}

// claimed are the processes of all workloads, as far as they were found.
func (r *Real) claimed(f *pb.Facts) map[int]bool {
	claimed := map[int]bool{}
	for _, o := range f.GetWorkloads() {
		if o.GetUnresolved() != "" {
			continue
		}
		pids, _ := r.workloads.cgroups.pids(o.GetCgroup())
		for _, pid := range pids {
			claimed[pid] = true
		}
	}
	return claimed
}

// keptDown tells whether an open fault of ours keeps a cgroup down: it is dead
// because of us, and whoever starts it last has to start it.
func (r *Real) keptDown(cgroup string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.held {
		if slices.Contains(h.op.GetHoldDown().GetCgroups(), cgroup) && h.open() {
			return true
		}
	}
	return false
}

// strays are the processes that no workload of the config claims.
func (r *Real) strays() (map[int]stat, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	claimed := map[int]bool{}
	for _, w := range r.config.GetWorkloads() {
		pids, err := r.workloads.Processes(context.Background(), w)
		if err != nil {
			return nil, err
		}
		for _, pid := range pids {
			claimed[pid] = true
		}
	}
	return undeclared(all, claimed), nil
}

// names are the command names of processes, at most maxUndeclared.
func names(strays map[int]stat) []string {
	names := map[string]bool{}
	for _, s := range strays {
		names[s.name] = true
	}
	sorted := slices.Sorted(maps.Keys(names))
	return sorted[:min(len(sorted), maxUndeclared)]
}

// addInterfaces lists the interfaces on which traffic can leave, and the
// addresses by which peers know the host.
func addInterfaces(_ context.Context, f *pb.Facts, details []Detail) error {
	if !slices.Contains(details, Addresses) {
		return nil
	}
	links, err := net.Interfaces()
	if err != nil {
		return err
	}
	f.Address = f.GetConfig().GetAddress()
	for _, link := range links {
		if link.Flags&net.FlagLoopback != 0 {
			continue
		}
		f.Interfaces = append(f.Interfaces, printable(link.Name))
		if len(f.GetConfig().GetAddress()) == 0 {
			f.Address = append(f.Address, addresses(link)...)
		}
	}
	return nil
}

// addresses are an interface's own, without those of the link alone.
func addresses(link net.Interface) []string {
	list, _ := link.Addrs()
	var found []string
	for _, a := range list {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() {
			found = append(found, ip.IP.String())
		}
	}
	return found
}
