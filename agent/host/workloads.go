package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"squall/agent/target"
	pb "squall/proto/squall/v1"
)

// WorkloadsFolder is the cgroup folder, under the agent's base, that holds the
// workloads without a unit or a cgroup of their own.
const WorkloadsFolder = target.Folder

// Workloads finds, starts and kills the workloads of a host's config. The
// agent uses it, and so does whatever starts them first.
//
// What it starts is not bound to this process: it leads a session of its own
// and lives on when this process dies.
type Workloads struct {
	cgroups cgroups
	targets *target.Resolver
	base    string
	logs    string
}

// OpenWorkloads uses the cgroup base, relative to the v2 mount and made where
// it is missing, for workloads without a unit or a cgroup of their own; empty
// is the cgroup of this process. What workloads print goes to NAME.log in the
// folder logs; empty drops it.
func OpenWorkloads(base, logs string) (*Workloads, error) {
	c, err := openCgroups()
	if err != nil {
		return nil, err
	}
	if base == "" {
		base = c.own()
	}
	if logs != "" {
		if err := os.MkdirAll(logs, 0o755); err != nil {
			return nil, fmt.Errorf("make folder for logs: %w", err)
		}
	}
	base = strings.Trim(base, "/")
	return &Workloads{cgroups: c, targets: target.New(machine{c}, base), base: base, logs: logs}, nil
}

// Start starts one workload in a fresh set, for callers that start it once.
// The caller's process stays the parent and reaps it.
func Start(ctx context.Context, base string, workload *pb.Workload) error {
	w, err := OpenWorkloads(base, "")
	if err != nil {
		return err
	}
	return w.Start(ctx, workload)
}

// Processes lists a workload's live processes.
func (w *Workloads) Processes(ctx context.Context, workload *pb.Workload) ([]int, error) {
	s, err := w.targets.State(ctx, workload)
	if err != nil {
		return nil, err
	}
	return w.cgroups.pids(s.Cgroup)
}

// Runs tells whether the workload has a live process.
func (w *Workloads) Runs(ctx context.Context, workload *pb.Workload) (bool, error) {
	s, err := w.targets.State(ctx, workload)
	return s.Populated, err
}

// Kill kills all processes of a workload at once and returns when they are dead.
func (w *Workloads) Kill(ctx context.Context, workload *pb.Workload) error {
	s, err := w.targets.State(ctx, workload)
	if err == nil {
		err = w.cgroups.kill(s.Cgroup)
	}
	if err != nil {
		return fmt.Errorf("kill workload %s: %w", workload.GetName(), err)
	}
	return wrap(w.cgroups.waitEmpty(ctx, s.Cgroup), "kill workload %s", workload.GetName())
}

// waitEmpty returns when nothing lives in the cgroup.
func (c cgroups) waitEmpty(ctx context.Context, cgroup string) error {
	for {
		alive, err := c.populated(cgroup)
		if err != nil || !alive {
			return err
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return fmt.Errorf("wait until cgroup %s is empty: %w", cgroup, err)
		}
	}
}

// startTries is how often a start is tried while somebody dies where the
// workload is to live.
const startTries = 5

// Start starts a workload where it doesn't run, and returns when it has been
// started: getting ready is its own matter. Who is dying there is waited for,
// and is not taken for the workload. A unit that can't be resolved is left to
// systemd, which starts nothing that runs.
func (w *Workloads) Start(ctx context.Context, workload *pb.Workload) error {
	s, err := w.targets.State(ctx, workload)
	switch {
	case err != nil && workload.GetUnit() != "":
		err = startUnit(ctx, workload.GetUnit())
	case err == nil:
		err = w.startIn(ctx, workload, s.Cgroup)
	}
	return wrap(err, "start workload %s", workload.GetName())
}

// startIn starts a workload in its cgroup.
func (w *Workloads) startIn(ctx context.Context, workload *pb.Workload, cgroup string) error {
	var failed error
	for try := 0; ; try++ {
		runs, err := w.cgroups.settled(ctx, cgroup)
		if runs {
			return nil // or somebody else was faster
		}
		// Busy is a cgroup into which a dying process has come meanwhile.
		if failed != nil && (try == startTries || !errors.Is(failed, unix.EBUSY)) {
			err = failed
		}
		if err != nil {
			return err
		}
		if failed = w.launch(ctx, workload, cgroup); failed == nil {
			return nil
		}
	}
}

// launch starts a workload by the way that the host's config names.
func (w *Workloads) launch(ctx context.Context, workload *pb.Workload, cgroup string) error {
	switch {
	case workload.GetUnit() != "":
		return startUnit(ctx, workload.GetUnit())
	case len(workload.GetStart()) > 0:
		return w.spawn(ctx, workload, cgroup)
	default:
		return errors.New("the host's config has neither unit nor start for it")
	}
}

// settled waits until a cgroup is empty, or someone in it is there to stay, and
// tells which.
func (c cgroups) settled(ctx context.Context, cgroup string) (alive bool, err error) {
	for {
		populated, err := c.populated(cgroup)
		if err != nil || !populated {
			return false, err
		}
		pids, err := c.pids(cgroup)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(pids, func(pid int) bool { return !doomed(pid) }) {
			return true, nil
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return false, fmt.Errorf("wait for the dying in cgroup %s: %w", cgroup, err)
		}
	}
}

// logPatience is how long a start waits for the workload's log.
const logPatience = time.Second

// output opens the workload's log. A disk that hangs keeps no workload from
// being started: what it prints is dropped then.
func (w *Workloads) output(name string) (*os.File, error) {
	if w.logs == "" {
		return openLog(os.DevNull)
	}
	type opened struct {
		f   *os.File
		err error
	}
	done := make(chan opened, 1)
	go func() {
		f, err := openLog(filepath.Join(w.logs, name+".log"))
		done <- opened{f, err}
	}()
	patience := time.NewTimer(logPatience)
	defer patience.Stop()
	select {
	case o := <-done:
		return o.f, o.err
	case <-patience.C:
		go func() {
			if o := <-done; o.f != nil {
				o.f.Close()
			}
		}()
		return openLog(os.DevNull)
	}
}

func openLog(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	return f, wrap(err, "open log")
}

// reapLater lets no zombie stay for as long as this process lives, whoever may
// have started the workload for whatever fault: it is bound to the process, not
// to a caller. After that, the host's init reaps.
func reapLater(cmd *exec.Cmd) error {
	p, err := OpenPidfd(cmd.Process.Pid)
	if err != nil {
		return err
	}
	go func() {
		defer p.Close()
		if p.Wait(context.Background()) == nil {
			// How a workload ends is told by its probes, not by its exit code.
			_ = cmd.Wait()
		}
	}()
	return nil
}
