package lab

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// RunRegion is pid 1 of the region, in the router's network namespace. It
// starts every host, says when all are ready, and then only reaps.
func RunRegion(ctx context.Context, folder Folder) error {
	say := os.NewFile(3, "status")
	unix.CloseOnExec(3)
	if err := startRegion(ctx, folder, say); err != nil {
		fmt.Fprintln(say, failedMark+oneLine(err))
		return err
	}
	fmt.Fprintln(say, readyLine)
	say.Close()
	reap(ctx)
	return nil
}

func startRegion(ctx context.Context, folder Folder, say *os.File) error {
	region, err := folder.Region()
	if err != nil {
		return err
	}
	group, err := folder.cgroup()
	if err != nil {
		return err
	}
	if err := ownMounts(); err != nil {
		return err
	}
	if err := setUpRouter(); err != nil {
		return err
	}
	hosts, ctx := errgroup.WithContext(ctx)
	for _, h := range region.Hosts {
		hosts.Go(func() error {
			took, err := startHost(ctx, folder, group, h)
			if err != nil {
				return fmt.Errorf("start host %s: %w", h.Name, err)
			}
			fmt.Fprintf(say, "%s in %s is ready after %v\n", h.Name, h.Zone, took.Round(time.Millisecond))
			return nil
		})
	}
	return hosts.Wait()
}

// ownMounts gives this mount namespace a /proc of its own pid namespace, and
// keeps what is mounted here from the machine.
func ownMounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

// startHost starts a host's pid 1, plugs its wire in, and returns when it says
// that everything on it is ready.
func startHost(ctx context.Context, folder Folder, lab cgroup, h *Host) (time.Duration, error) {
	began := time.Now()
	group := cgroup(filepath.Join(string(lab), h.Name))
	if err := group.make(); err != nil {
		return 0, err
	}
	pipes, err := newPipes()
	if err != nil {
		return 0, err
	}
	defer pipes.close()
	cmd, err := hostProcess(folder, h, pipes)
	if err != nil {
		return 0, err
	}
	if err := startIn(cmd, group); err != nil {
		return 0, err
	}
	pipes.closeTheirs()
	if err := h.Link.plug(cmd.Process.Pid); err != nil {
		return 0, err
	}
	pipes.goAhead.Close()
	defer context.AfterFunc(ctx, func() { pipes.said.Close() })()
	err = hostReady(pipes.said)
	return time.Since(began), err
}

func hostProcess(folder Folder, h *Host, p *hostPipes) (*exec.Cmd, error) {
	dir := folder.Host(h.Name)
	log, err := os.OpenFile(filepath.Join(dir, "init.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	p.theirs = append(p.theirs, log)
	cmd := exec.Command("/proc/self/exe", HostCommand, string(folder), h.Name) //nolint:noctx // it ends with this process
	cmd.Args[0] = os.Args[0]
	cmd.Stderr, cmd.Stdout, cmd.Dir = log, log, "/"
	cmd.ExtraFiles = []*os.File{p.wait, p.say}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true,
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS |
			syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
	}
	return cmd, nil
}

// hostPipes tie a host's start to the region: the host waits until its wire is
// plugged in, and says when it is ready.
type hostPipes struct {
	wait, goAhead *os.File
	said, say     *os.File
	theirs        []*os.File
}

func newPipes() (*hostPipes, error) {
	p := &hostPipes{}
	var err error
	if p.wait, p.goAhead, err = os.Pipe(); err != nil {
		return nil, err
	}
	if p.said, p.say, err = os.Pipe(); err != nil {
		p.wait.Close()
		p.goAhead.Close()
		return nil, err
	}
	p.theirs = []*os.File{p.wait, p.say}
	return p, nil
}

func (p *hostPipes) closeTheirs() {
	for _, f := range p.theirs {
		f.Close()
	}
}

func (p *hostPipes) close() {
	p.closeTheirs()
	p.goAhead.Close()
	p.said.Close()
}

// hostReady reads the host's one line.
func hostReady(said *os.File) error {
	line := bufio.NewScanner(said)
	if !line.Scan() {
		return fmt.Errorf("its init ended; init.log in its folder may say why")
	}
	if line.Text() != readyLine {
		return fmt.Errorf("%s", line.Text())
	}
	return nil
}

// reap takes in every orphan until ctx ends: pid 1 is everybody's parent.
func reap(ctx context.Context) {
	for ctx.Err() == nil {
		_, err := unix.Wait4(-1, nil, 0, nil)
		if err == unix.ECHILD {
			_ = pause(ctx)
		}
	}
}

// pause lets a short while pass.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(5 * time.Millisecond):
		return nil
	}
}
