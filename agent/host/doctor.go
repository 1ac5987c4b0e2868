package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"squall/agent/host/bpf"
	pb "squall/proto/squall/v1"
)

// doctorTimeout bounds the whole of Doctor.
const doctorTimeout = 30 * time.Second

// doctor tries each mechanism on objects of its own: a throw-away cgroup,
// namespaces, a thread.
type doctor struct {
	base   string
	loader *bpf.Loader
	why    error
	// found is what came of the programs that were asked for, tried in one go.
	found map[string]bpf.Finding
}

// warning is a finding that still works, less well.
type warning struct{ error }

// Doctor tries each mechanism on this host, and says what is missing and what
// would still work. It leaves nothing behind.
func Doctor(ctx context.Context) []*pb.Ability {
	d, done := newDoctor()
	defer done()
	return d.abilities(ctx, Abilities()...)
}

// Try tries one mechanism by its name.
func Try(ctx context.Context, name string) *pb.Ability {
	d, done := newDoctor()
	defer done()
	return d.abilities(ctx, name)[0]
}

// Doctor tries each mechanism where this host's agent would use it.
func (r *Real) Doctor(ctx context.Context) []*pb.Ability {
	d := &doctor{base: r.workloads.base, loader: r.loader, why: r.why}
	return d.abilities(ctx, Abilities()...)
}

// newDoctor makes a doctor with a loader of its own.
func newDoctor() (d *doctor, done func()) {
	loader, why := bpf.Open()
	if why != nil {
		return &doctor{why: why}, func() {}
	}
	return &doctor{loader: loader}, func() { loader.Close() }
}

// abilities tries mechanisms in their order, but those of programs all at once.
func (d *doctor) abilities(ctx context.Context, names ...string) []*pb.Ability {
	if programs := programsOf(names); d.loader != nil && len(programs) > 0 {
		d.found = d.loader.Try(programs)
	}
	var found []*pb.Ability
	for _, name := range names {
		found = append(found, d.ability(ctx, name))
	}
	return found
}

// programsOf are the trials of abilities that rest on programs.
func programsOf(names []string) map[string]*bpf.Trial {
	trials := map[string]*bpf.Trial{}
	for _, o := range operations {
		if o.program != nil && slices.Contains(names, o.ability) {
			trials[o.ability] = o.program
		}
	}
	return trials
}

func (d *doctor) ability(ctx context.Context, name string) *pb.Ability {
	detail, err := d.try(ctx, name)
	a := &pb.Ability{Name: name, State: pb.AbilityState_ABILITY_STATE_OK, Detail: detail}
	if errors.As(err, new(warning)) {
		a.State, a.Detail = pb.AbilityState_ABILITY_STATE_WARN, err.Error()
	} else if err != nil {
		a.State, a.Detail = pb.AbilityState_ABILITY_STATE_MISSING, err.Error()
	}
	return a
}

// general is an ability that no operation has for itself.
type general struct {
	name string
	try  func(context.Context, *doctor) (string, error)
}

// generals are what the agent itself needs.
var generals = []general{
	{"root", func(_ context.Context, d *doctor) (string, error) { return d.tryRoot() }},
	{"cgroup.v2", func(_ context.Context, d *doctor) (string, error) { return d.tryCgroup() }},
	{"bpf", func(_ context.Context, d *doctor) (string, error) { return d.tryBPF() }},
	{"realtime", func(context.Context, *doctor) (string, error) { return tryRealtime() }},
	{"systemd", func(ctx context.Context, _ *doctor) (string, error) { return trySystemd(ctx) }},
	{"packet.sockets", func(context.Context, *doctor) (string, error) { return tryPackets() }},
}

func (d *doctor) try(ctx context.Context, name string) (string, error) {
	for _, g := range generals {
		if g.name == name {
			return g.try(ctx, d)
		}
	}
	for _, o := range operations {
		if o.ability == name && o.trial != nil {
			return o.trial(ctx, d)
		}
	}
	if d.loader == nil {
		return "", fmt.Errorf("no BPF programs: %w", d.why)
	}
	if f, ok := d.found[name]; ok {
		return f.Engine, f.Err
	}
	return "", fmt.Errorf("try %s: no such mechanism", name)
}

func (d *doctor) tryRoot() (string, error) {
	if os.Geteuid() != 0 {
		return "", fmt.Errorf("not root (uid %d): no fault can be injected; validate, plan, status and probes still work", os.Geteuid())
	}
	return "", nil
}

func (d *doctor) tryCgroup() (string, error) {
	c, cgroup, err := d.scratch()
	if err != nil {
		return "", err
	}
	return "mounted at " + c.mount, c.remove(cgroup)
}

// scratchPrefix begins the name of a cgroup to try things in; the pid of who
// tries follows, so that the next agent can tell what a dead one has left.
const scratchPrefix = "squall-doctor-"

// sweepScratch removes the cgroups in which dead processes tried things, with
// what lives in them. What it can't remove it names.
func (c cgroups) sweepScratch(ctx context.Context, base string) []string {
	entries, err := os.ReadDir(c.path(base))
	if err != nil {
		return nil // no base, no scratch
	}
	var left []string
	for _, e := range entries {
		name, ours := strings.CutPrefix(e.Name(), scratchPrefix)
		pid, _, _ := strings.Cut(name, "-")
		if !ours || lives(pid) {
			continue
		}
		cgroup := path.Join(base, e.Name())
		if err := errors.Join(c.kill(cgroup), c.waitEmpty(ctx, cgroup), c.remove(cgroup)); err != nil {
			left = append(left, "cgroup "+cgroup)
		}
	}
	return left
}

// lives tells a process from one that is dead or only waits to be reaped: that
// has no command line any more.
func lives(pid string) bool {
	line, err := os.ReadFile("/proc/" + pid + "/cmdline")
	return err == nil && len(line) > 0
}

// scratch makes a cgroup to try things in.
func (d *doctor) scratch() (cgroups, string, error) {
	c, err := openCgroups()
	if err != nil {
		return c, "", err
	}
	base := d.base
	if base == "" {
		base = c.own()
	}
	if err := os.MkdirAll(c.path(base), 0o755); err != nil {
		return c, "", fmt.Errorf("make cgroup %s: %w", base, err)
	}
	dir, err := os.MkdirTemp(c.path(base), fmt.Sprintf("%s%d-", scratchPrefix, os.Getpid()))
	if err != nil {
		return c, "", fmt.Errorf("make a cgroup under /%s (the agent needs a delegated one): %w", base, err)
	}
	return c, path.Join(base, path.Base(dir)), nil
}

// tryKill kills a child in a cgroup, and finds out whether a cgroup that was
// killed still takes children.
func (d *doctor) tryKill(ctx context.Context) (string, error) {
	c, cgroup, err := d.scratch()
	if err != nil {
		return "", err
	}
	defer c.remove(cgroup) //nolint:errcheck // it fails where the try has failed
	if err := c.killsChild(ctx, cgroup); err != nil {
		return "", err
	}
	if c.takesChild(ctx, cgroup) {
		return "a killed cgroup takes new children", nil
	}
	if err := c.renew(cgroup); err != nil {
		return "", err
	}
	if !c.takesChild(ctx, cgroup) {
		return "", errors.New("children that are born into a new cgroup die at birth: start the agent in a cgroup that was never killed")
	}
	return "a killed cgroup takes no children and is made anew before each start", nil
}

// killsChild starts a child in the cgroup and kills it there.
func (c cgroups) killsChild(ctx context.Context, cgroup string) error {
	child, err := c.sleeper(cgroup)
	if err != nil {
		return err
	}
	defer child.Wait() //nolint:errcheck // killed
	if err := c.kill(cgroup); err != nil {
		return errors.Join(err, child.Process.Kill())
	}
	return c.waitEmpty(ctx, cgroup)
}

// takesChild tells whether a child that is born into the cgroup lives.
func (c cgroups) takesChild(ctx context.Context, cgroup string) bool {
	child, err := c.sleeper(cgroup)
	if err != nil {
		return false
	}
	lives, _ := c.populated(cgroup)
	_ = pause(ctx, 2*time.Millisecond)
	still, _ := c.populated(cgroup)
	_ = child.Process.Kill()
	_ = child.Wait()
	return lives && still
}

// sleeper starts a child in a cgroup that does nothing.
func (c cgroups) sleeper(cgroup string) (*exec.Cmd, error) {
	dir, err := os.Open(c.path(cgroup))
	if err != nil {
		return nil, fmt.Errorf("open cgroup: %w", err)
	}
	defer dir.Close()
	cmd := exec.Command("sleep", "5") //nolint:noctx // killed by its cgroup
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	return cmd, wrap(cmd.Start(), "start a child in a cgroup (CLONE_INTO_CGROUP, Linux 5.7)")
}

func (d *doctor) tryBPF() (string, error) {
	if d.loader == nil {
		return "", d.why
	}
	if offset := d.loader.BootOffset(); offset != 0 {
		return "", warning{fmt.Errorf("in a time namespace: the kernel's boot time is %s ahead, which is applied", offset)}
	}
	return "boot time in the kernel is this process's", nil
}

func tryRealtime() (string, error) {
	var denied, late error
	var by time.Duration
	RealtimeThread(func(err error) {
		denied = err
		at := BootTime() + time.Millisecond
		late = SleepUntil(at)
		by = BootTime() - at
	})
	if denied != nil {
		return "", warning{fmt.Errorf("kills may come milliseconds late: %w", denied)}
	}
	return fmt.Sprintf("woke %s after the instant", by.Round(time.Microsecond)), late
}

func trySystemd(ctx context.Context) (string, error) {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return "", warning{errors.New("not running: workloads with `unit` can't be started, those with `start` can")}
	}
	out, err := systemctl(ctx, "--version")
	first, _, _ := strings.Cut(out, "\n")
	return first, err
}
