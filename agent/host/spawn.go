package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	pb "squall/proto/squall/v1"
)

// spawn runs the workload's own command line in its cgroup.
func (w *Workloads) spawn(ctx context.Context, workload *pb.Workload, cgroup string) error {
	out, err := w.output(workload.GetName())
	if err != nil {
		return err
	}
	defer out.Close()
	cmd, err := programOf(workload, workload.GetStart()).Command(context.Background()) // it outlives this process
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := w.cgroups.check(cgroup); err != nil {
		return err
	}
	start := w.cgroups.startPlaced
	if w.targets.Ours(cgroup) {
		start = w.cgroups.startAnew
	}
	if err := start(ctx, cmd, cgroup); err != nil {
		return err
	}
	return errors.Join(calm(cmd.Process.Pid), reapLater(cmd))
}

// startAnew starts a program in a cgroup of ours, which is made anew: whatever
// was killed there before has spoilt it for births, see renew.
func (c cgroups) startAnew(_ context.Context, cmd *exec.Cmd, cgroup string) error {
	if err := c.renew(cgroup); err != nil {
		return err
	}
	dir, err := os.Open(c.path(cgroup))
	if err != nil {
		return fmt.Errorf("open cgroup: %w", err)
	}
	defer dir.Close()
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
	return onUsualTime(cmd.Start)
}

// placeLimit is how long a program may take, traced, from its exec to its stop.
const placeLimit = 10 * time.Second

// startPlaced starts a program in somebody else's cgroup, which keeps its owner,
// limits and attributes; it is made only where there is none. A killed cgroup
// takes no births, but it takes who moves in: the program is stopped before its
// first instruction, moved, and let go. This needs a kernel that lets a parent
// trace its child.
func (c cgroups) startPlaced(ctx context.Context, cmd *exec.Cmd, cgroup string) error {
	if err := os.MkdirAll(c.path(cgroup), 0o755); err != nil {
		return fmt.Errorf("make cgroup: %w", err)
	}
	runtime.LockOSThread() // the kernel knows a tracer by its thread
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr.Ptrace = true
	if err := onUsualTime(cmd.Start); err != nil {
		return fmt.Errorf("start stopped, to place it in cgroup %s: %w", cgroup, err)
	}
	pid := cmd.Process.Pid
	err := awaitTraced(ctx, pid)
	if err == nil {
		err = wrap(os.WriteFile(c.path(cgroup, "cgroup.procs"), fmt.Append(nil, pid), 0), "place process %d", pid)
	}
	if err == nil {
		err = wrap(unix.PtraceDetach(pid), "let process %d go", pid)
	}
	if err != nil {
		return errors.Join(err, cmd.Process.Kill(), reapLater(cmd))
	}
	return nil
}

// awaitTraced returns when a process stands still for its tracer. It looks, and
// doesn't wait for a child: whoever reaps all children of this process may
// have been told of the stop already.
func awaitTraced(ctx context.Context, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, placeLimit)
	defer cancel()
	for {
		s, lives := processOf(pid)
		switch {
		case !lives || s.zombie():
			return fmt.Errorf("place process %d: it has ended", pid)
		case s.state == 't':
			return nil
		}
		if err := pause(ctx, 100*time.Microsecond); err != nil {
			return fmt.Errorf("place process %d: it does not stop: %w", pid, err)
		}
	}
}
