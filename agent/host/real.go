package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"squall/agent/host/bpf"
	pb "squall/proto/squall/v1"
)

// Options are what the agent's own settings say about its host.
type Options struct {
	// Base is the cgroup, relative to the v2 mount, under which ours are made;
	// empty is the agent's own.
	Base string
	// Logs is the folder for what started workloads print; empty drops it.
	Logs string
	// Exempt is the agent's own stream, and the management peers of the config.
	// Real.Exempt adds servers.
	Exempt *pb.Exempt
	// Spare are files and folders of the agent, which live on when the host's
	// volatile folders are emptied, beside Spared.
	Spare []string
	// Ready puts the entries of network faults on the interfaces of the caller's
	// network namespace at once and until Close, idle, and loads the programs of
	// the usual ones, so that a fault takes microseconds: for the worker. Without
	// it, each fault does so.
	Ready bool
	// Log may be nil.
	Log *slog.Logger
}

// Real is the host on which this process runs. Everything that it attaches is
// held by this process and ends with it; what it starts does not.
type Real struct {
	config    *pb.HostConfig
	options   Options
	log       *slog.Logger
	workloads *Workloads
	loader    *bpf.Loader // nil where the kernel takes none of our programs
	why       error       // why there is no loader
	offset    time.Duration
	trials    trials
	// lasting are the kinds of operation that may leave something beyond the life of
	// this process.
	lasting []*operation
	// freezerOf is how cgroups are frozen here, as that of cgroups; a test has another.
	freezerOf func(cgroup string) (freezer, error)
	// deaths tells of what ended without being closed.
	deaths chan Death

	mu   sync.Mutex // guards everything below
	held map[slot]*held
	// servers are exempt.
	servers []string
	// network is the lock on the network namespace; nil before the first fault there.
	network io.Closer
	// leases are boot times by the tag, or the beginning of one, that they are for.
	leases map[string]time.Duration
}

var _ Host = (*Real)(nil)

// Open opens the host. It changes nothing of what the host does. A kernel that
// takes no BPF programs is no error: what can't be done is found by Facts and
// refused by Do.
func Open(config *pb.HostConfig, o Options) (*Real, error) {
	workloads, err := OpenWorkloads(o.Base, o.Logs)
	if err != nil {
		return nil, fmt.Errorf("open host: %w", err)
	}
	r := &Real{
		config: config, options: o, workloads: workloads,
		log:    cmp.Or(o.Log, slog.New(slog.DiscardHandler)),
		deaths: make(chan Death, 64), held: map[slot]*held{}, leases: map[string]time.Duration{},
		lasting: lasting(), freezerOf: workloads.cgroups.freezerOf,
	}
	if config.GetSquall() == pb.SquallPolicy_SQUALL_POLICY_NEVER {
		r.why, r.trials.run = errNever, refusedTrials
		return r, nil
	}
	r.trials.run = r.Doctor
	if o.Ready {
		r.why = r.holdNetwork()
	}
	if r.why == nil {
		r.loader, r.why = openLoader(o)
	}
	if r.loader == nil {
		r.log.Warn("no BPF programs here", "err", r.why)
		return r, nil
	}
	r.offset = r.loader.BootOffset()
	if err := r.Exempt(o.Exempt.GetServers()); err != nil {
		r.log.Error("exempt servers", "err", err) // a fault that needs them is refused
	}
	return r, nil
}

// errNever is why there are no programs of ours on a host that wants none.
var errNever = errors.New("its config says squall: never")

// refusedTrials tries nothing: the host's word comes before anything is loaded.
func refusedTrials(context.Context) []*pb.Ability {
	var all []*pb.Ability
	for _, name := range Abilities() {
		all = append(all, &pb.Ability{
			Name: name, State: pb.AbilityState_ABILITY_STATE_MISSING, Detail: "not tried: " + errNever.Error(),
		})
	}
	return all
}

// openLoader opens the loader, or returns nil and why there is none.
func openLoader(o Options) (*bpf.Loader, error) {
	loader, err := bpf.Open()
	if err != nil || !o.Ready {
		return loader, err
	}
	if err := loader.Attach(); err != nil {
		return nil, errors.Join(err, loader.Close())
	}
	for _, kind := range operations {
		if kind.ready != nil {
			_ = kind.ready(loader, o.Exempt) // the fault that needs it says why it can't be
		}
	}
	return loader, nil
}

// Boot implements Host.
func (r *Real) Boot() time.Duration { return BootTime() + r.offset }

// Close ends everything that is attached; what was started lives on.
func (r *Real) Close() error {
	r.trials.end()
	err := r.detachIf(context.Background(), func(string) bool { return true })
	if r.loader != nil {
		err = errors.Join(err, r.loader.Close())
	}
	if r.network != nil {
		err = errors.Join(err, r.network.Close())
	}
	return err
}

// holdNetwork sees to it that no other agent has its faults in this network
// namespace, from the first one here until Close.
func (r *Real) holdNetwork() (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.network == nil {
		r.network, err = lockNetwork()
	}
	return err
}

// workload finds a workload of the host's config.
func (r *Real) workload(name string) (*pb.Workload, error) {
	for _, w := range r.config.GetWorkloads() {
		if w.GetName() == name {
			return w, nil
		}
	}
	return nil, fmt.Errorf("find workload %q: the host's config has none of that name", name)
}
