package lab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// RunRegion is pid 1 of the region, in the router's network namespace. It
// starts every host, says when all are ready, and then only reaps.
func RunRegion(ctx context.Context, folder Folder) error {
	say := os.NewFile(3, "status")
	unix.CloseOnExec(3)
	if err := startRegion(ctx, folder, say); err != nil {
		// Before it is said: who hears it takes the lab down.
		err = errors.Join(err, folder.KeepLogs())
		fmt.Fprintln(say, failedMark+strconv.Quote(err.Error()))
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
	return startHosts(ctx, folder, group, region, say)
}

// blameLimit is how long others may go on once something has failed: what is
// the cause, and what its consequence, is told apart by who has ended.
const blameLimit = time.Second

// startHosts starts all hosts at once, and says of each when it is ready. It
// returns all that went wrong.
func startHosts(ctx context.Context, folder Folder, group cgroup, region *Region, say *os.File) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex // guards failed
	var failed []failure
	var hosts sync.WaitGroup
	for _, h := range region.Hosts {
		hosts.Go(func() {
			took, wrong := startHost(ctx, folder, group, h)
			if len(wrong) == 0 {
				fmt.Fprintf(say, "%s in %s is ready after %v\n", h.Name, h.Zone, took.Round(time.Millisecond))
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if ctx.Err() == nil { // or it was only cut short
				failed = append(failed, wrong...)
				time.AfterFunc(blameLimit, cancel)
			}
		})
	}
	hosts.Wait()
	return failures(failed)
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
// that everything on it is ready, or what is not.
func startHost(ctx context.Context, folder Folder, lab cgroup, h *Host) (time.Duration, []failure) {
	began := time.Now()
	said, err := bootHost(folder, lab, h)
	if err != nil {
		return 0, []failure{{Host: h.Name, Why: err.Error(), Died: true}}
	}
	defer said.Close()
	defer context.AfterFunc(ctx, func() { said.Close() })()
	return time.Since(began), hostReady(h.Name, said)
}

// bootHost returns where the host says how its start went.
func bootHost(folder Folder, lab cgroup, h *Host) (said *os.File, err error) {
	group := cgroup(filepath.Join(string(lab), h.Name))
	if err := group.make(); err != nil {
		return nil, err
	}
	pipes, err := newPipes()
	if err != nil {
		return nil, err
	}
	defer pipes.close()
	cmd, err := hostProcess(folder, h, pipes)
	if err != nil {
		return nil, err
	}
	if err := startIn(cmd, group); err != nil {
		return nil, err
	}
	if err := h.Link.plug(cmd.Process.Pid); err != nil {
		return nil, err
	}
	said, pipes.said = pipes.said, nil
	return said, nil
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

// close closes all but what somebody has taken.
func (p *hostPipes) close() {
	for _, f := range append(p.theirs, p.goAhead, p.said) {
		if f != nil {
			f.Close()
		}
	}
}

// hostReady reads the host's one line: that it is ready, what failed, or why its
// init could not do its work.
func hostReady(name string, said *os.File) (failed []failure) {
	line := bufio.NewReader(said)
	text, err := line.ReadString('\n')
	text = strings.TrimSuffix(text, "\n")
	switch {
	case err != nil:
		return []failure{{Host: name, Why: "its init ended; init.log in its folder may say why", Died: true}}
	case text == readyLine:
		return nil
	case json.Unmarshal([]byte(text), &failed) == nil && len(failed) > 0:
		return failed
	}
	return []failure{{Host: name, Why: text, Died: true}}
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

// orphanAge is how long a child that has ended may wait for whoever started it.
const orphanAge = 500 * time.Millisecond

// reapOrphans takes in every orphan until ctx ends. Whom this process started
// itself, it waits for itself, and at once; who is still there a while later has
// come from elsewhere.
func reapOrphans(ctx context.Context) {
	for ctx.Err() == nil {
		if err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
			_ = pause(ctx)
			continue
		}
		ended := endedChildren()
		time.Sleep(orphanAge)
		for _, pid := range ended {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) // or somebody has
		}
	}
}

// endedChildren are those of this process that nobody has waited for.
func endedChildren() (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has been waited for
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		_, rest, _ := strings.Cut(string(stat[max(0, bytes.LastIndexByte(stat, ')')):]), " ")
		var state string
		var parent int
		if n, _ := fmt.Sscan(rest, &state, &parent); err == nil && n == 2 && state == "Z" && parent == os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
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
