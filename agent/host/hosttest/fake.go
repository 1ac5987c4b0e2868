// Package hosttest holds what tests need instead of, or around, a real host:
// a fake that prints itself, and namespaces and cgroups that clean up after
// themselves.
//
// The fake's text is its whole state: a change and its undo leave the same
// text, or they are not each other's inverse.
package hosttest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/agent/host"
	pb "squall/proto/squall/v1"
)

// Fake is a host in memory. Its boot time follows time.Now, so that inside a
// testing/synctest bubble its gates open and close in simulated time.
type Fake struct {
	mu sync.Mutex // guards everything below

	facts     *pb.Facts
	born      time.Time
	leases    map[string]time.Duration
	deaths    chan host.Death
	attached  []*attached
	workloads map[string]*workload
	events    []Event
	waiting   map[string]context.CancelFunc
	faults    map[int]func(context.Context) error
	// blind: evidence hangs.
	blind bool
	calls int
}

// attached is one operation that acts while its gate is open.
type attached struct {
	tag string
	op  *pb.Op
	// lived says of what is held down that it was alive before.
	lived bool
}

// workload is a workload of the host's config.
type workload struct {
	running  bool
	respawns int
	// unready is why it is not ready though it runs.
	unready error
}

// Event is one thing that happened to the fake, in order.
type Event struct {
	// Boot is when, in the fake's boot time.
	Boot time.Duration
	// What is attach, detach, kill, start or crash.
	What string
	// Name is the tag or the workload.
	Name string
	Op   *pb.Op
}

// fakeUptime is how long a fake has been up when it is made.
const fakeUptime = time.Hour

var _ host.Host = (*Fake)(nil)

// NewFake is a host with the workloads of config, all of them running, one
// process each, and all abilities.
func NewFake(config *pb.HostConfig) *Fake {
	f := &Fake{
		born:      time.Now(),
		facts:     fakeFacts(config),
		workloads: map[string]*workload{},
		waiting:   map[string]context.CancelFunc{},
		leases:    map[string]time.Duration{},
		deaths:    make(chan host.Death, 16),
		faults:    map[int]func(context.Context) error{},
	}
	for _, w := range config.GetWorkloads() {
		f.workloads[w.GetName()] = &workload{running: true}
	}
	return f
}

// fakeFacts describes the fake; SetFacts refines it.
func fakeFacts(config *pb.HostConfig) *pb.Facts {
	facts := &pb.Facts{
		Config: config, BootId: "fake-boot", Interfaces: []string{"eth0"},
		Address: config.GetAddress(), Undeclared: []string{"sshd"},
		Exempt: &pb.Exempt{Mark: 0x53514c, Management: config.GetManagement()},
	}
	for i, w := range config.GetWorkloads() {
		facts.Workloads = append(facts.Workloads, &pb.WorkloadFacts{
			Name: w.GetName(), Cgroup: fakeCgroup(w), Ports: []uint32{8080 + uint32(i)},
			CanStart: w.GetUnit() != "" || len(w.GetStart()) > 0, Protect: w.GetProtect(),
		})
	}
	for _, name := range host.Abilities() {
		facts.Abilities = append(facts.Abilities, &pb.Ability{Name: name, State: pb.AbilityState_ABILITY_STATE_OK})
	}
	return facts
}

func fakeCgroup(w *pb.Workload) string {
	if w.GetCgroup() != "" {
		return w.GetCgroup()
	}
	return host.WorkloadsFolder + "/" + w.GetName()
}

// SetFacts lets a test change what the host says of itself: abilities, boot
// id, addresses.
func (f *Fake) SetFacts(change func(*pb.Facts)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f.facts)
}

// FailOp lets the nth Do from now (1 is the next) fail before it changes anything.
func (f *Fake) FailOp(n int, err error) {
	f.onOp(n, func(context.Context) error { return err })
}

// HangOp lets the nth Do from now change nothing and block until its context ends.
func (f *Fake) HangOp(n int) {
	f.onOp(n, func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
}

// HangEvidence lets every look at what a fault does block until its context ends.
func (f *Fake) HangEvidence() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blind = true
}

func (f *Fake) onOp(n int, fault func(context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[f.calls+n] = fault
}

// Crash is the worker's death: what it held is gone, what it killed stays dead.
func (f *Fake) Crash() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.attached = nil
	clear(f.leases)
	f.record("crash", "", nil)
}

// Reboot is a power cycle: another boot id, boot time from zero, workloads
// started by the host's own init.
func (f *Fake) Reboot() {
	f.Crash()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.born = time.Now().Add(fakeUptime)
	f.facts.BootId += "'"
	for _, w := range f.workloads {
		w.running = true
	}
}

// Suspend lets boot time jump, as while a machine sleeps.
func (f *Fake) Suspend(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.born = f.born.Add(-d)
}

// Facts implements host.Host.
func (f *Fake) Facts(_ context.Context, details ...host.Detail) (*pb.Facts, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	facts := proto.CloneOf(f.facts)
	if !slices.Contains(details, host.Undeclared) {
		facts.Undeclared = nil
	}
	if !slices.Contains(details, host.Addresses) {
		facts.Interfaces, facts.Address = nil, nil
	}
	for _, w := range facts.GetWorkloads() {
		if !slices.Contains(details, host.Ports) {
			w.Ports = nil
		}
		w.Processes = 0
		if f.workloads[w.GetName()].running {
			w.Processes = 1
		}
		w.Runs = w.Processes > 0 || f.heldDown(w.GetName())
	}
	return facts, nil
}

// Boot implements host.Host.
func (f *Fake) Boot() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.boot()
}

func (f *Fake) boot() time.Duration { return time.Since(f.born) + fakeUptime }

// Renew implements host.Host.
func (f *Fake) Renew(tag string, until time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leases[tag] = until
}

// leaseOf is when the lease of a tag runs out; 0 where none was granted.
func (f *Fake) leaseOf(tag string) (until time.Duration) {
	for name, lease := range f.leases {
		if host.Under(tag, name) {
			until = max(until, lease)
		}
	}
	return until
}

// Exempt implements host.Host.
func (f *Fake) Exempt(servers []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.facts.GetExempt()
	for _, s := range servers {
		if !strings.HasPrefix(s, "unix:") && !slices.Contains(e.GetServers(), s) {
			e.Servers = append(e.Servers, s)
		}
	}
	return nil
}

// Died implements host.Host.
func (f *Fake) Died() <-chan host.Death { return f.deaths }

// Die ends what is attached under a tag, as the death of its holder does.
func (f *Fake) Die(tag string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.attached = slices.DeleteFunc(f.attached, func(a *attached) bool { return host.Under(a.tag, tag) })
	f.record("die", tag, nil)
	select {
	case f.deaths <- host.Death{Tag: tag}:
	default:
	}
}

// Events is everything that has happened, oldest first.
func (f *Fake) Events() []Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.events)
}

func (f *Fake) record(what, name string, op *pb.Op) {
	f.events = append(f.events, Event{f.boot(), what, name, op})
}

// Running implements host.Host.
func (f *Fake) Running(context.Context, ...string) (map[string]bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	running := map[string]bool{}
	for name, w := range f.workloads {
		running[name] = w.running
	}
	return running, nil
}

// Ready implements host.Host. A workload that runs is ready, unless FailReady
// said otherwise.
func (f *Fake) Ready(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.workloads[name]
	switch {
	case w == nil:
		return missing(name)
	case !w.running:
		return host.ErrNotRunning
	}
	return w.unready
}

// LastLog implements host.Host.
func (f *Fake) LastLog(name string, _ int) []string { return []string{name + " logs this"} }

// FailReady lets a workload never get ready from now on, for this reason; nil
// lets it.
func (f *Fake) FailReady(name string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.workloads[name].unready = err
}

// Runs tells whether a workload runs now.
func (f *Fake) Runs(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.workloads[name]
	return w != nil && w.running
}

// Acting lists what acts now, as "TAG KIND", in the order in which it was attached.
func (f *Fake) Acting() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var acting []string
	for _, a := range f.attached {
		if f.open(a.op) {
			acting = append(acting, a.tag+" "+host.Kind(a.op))
		}
	}
	return acting
}

// missing is the error for a workload that the config doesn't know.
func missing(name string) error { return fmt.Errorf("workload %q: not in the host's config", name) }
