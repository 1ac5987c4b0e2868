package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"squall/agent/host"
	"squall/experiments"
	pb "squall/proto/squall/v1"
)

// restartDelay is what systemd's RestartSec would be.
const restartDelay = 100 * time.Millisecond

// sealed says, in the second stage of a host's init, that the first is done.
const sealed = "SQUALL_LAB_SEALED"

// RunHost is pid 1 of a host. The first stage makes the namespaces' content
// and runs the binary once more: a cgroup namespace is a thread's, and only a
// fresh start makes it the whole process's.
func RunHost(ctx context.Context, folder Folder, name string) error {
	say := os.NewFile(4, "status")
	unix.CloseOnExec(3)
	err := runHost(ctx, folder, name, say)
	if err != nil {
		fmt.Fprintln(say, oneLine(err))
	}
	return err
}

func runHost(ctx context.Context, folder Folder, name string, say *os.File) error {
	region, err := folder.Region()
	if err != nil {
		return err
	}
	h := region.Host(name)
	if h == nil {
		return fmt.Errorf("the lab has no host %q", name)
	}
	if os.Getenv(sealed) == "" {
		return seal(folder, h)
	}
	unix.CloseOnExec(4)
	return (&hostInit{folder: folder, host: h, say: say}).run(ctx)
}

// seal makes the host's mounts, name and network, and starts the second stage.
// It returns only when it could not.
func seal(folder Folder, h *Host) error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("make cgroup namespace: %w", err)
	}
	if err := errors.Join(hostMounts(folder.Host(h.Name)), unix.Sethostname([]byte(h.Name))); err != nil {
		return err
	}
	wired := os.NewFile(3, "wired")
	if _, err := io.Copy(io.Discard, wired); err != nil { // ends when the wire is plugged in
		return err
	}
	if err := h.Link.configure(); err != nil {
		return err
	}
	env := append(os.Environ(), sealed+"=1")
	return unix.Exec("/proc/self/exe", os.Args, env)
}

// hostMounts shows the host its own processes, network and cgroups, and its
// own names and resolver settings.
func hostMounts(dir string) error {
	if err := ownMounts(); err != nil {
		return err
	}
	const plain = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("sysfs", "/sys", "sysfs", plain, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	if err := unix.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", plain, ""); err != nil {
		return fmt.Errorf("mount cgroup2: %w", err)
	}
	for _, name := range []string{"hosts", "resolv.conf"} {
		if err := bindFile(filepath.Join(dir, name), "/etc/"+name); err != nil {
			return err
		}
	}
	return nil
}

// bindFile shows from at the place of to. Where to is a link, as resolv.conf
// often is, the file that it leads to is covered.
func bindFile(from, to string) error {
	real, err := filepath.EvalSymlinks(to)
	if err != nil {
		return fmt.Errorf("bind %s: %w", to, err)
	}
	if err := unix.Mount(from, real, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", to, err)
	}
	return nil
}

// hostInit is the second stage: what systemd is on a machine.
type hostInit struct {
	folder Folder
	host   *Host
	say    *os.File
}

func (i *hostInit) run(ctx context.Context) error {
	if err := os.Unsetenv(sealed); err != nil {
		return err
	}
	config, err := i.config()
	if err != nil {
		return err
	}
	door, err := net.Listen("unix", i.folder.initSocket(i.host.Name))
	if err != nil {
		return err
	}
	defer door.Close()
	// It waits in the kernel for as long as there are children, so it ends with
	// this process, and the host with both.
	go reap(ctx)
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error { i.keepAgent(ctx); return nil })
	tasks.Go(func() error { return i.startWorkloads(ctx, config) })
	return tasks.Wait()
}

func (i *hostInit) dir() string { return i.folder.Host(i.host.Name) }

func (i *hostInit) config() (*pb.HostConfig, error) {
	file := filepath.Join(i.dir(), "host.yaml")
	src, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	config, problems := experiments.DecodeHostConfig(file, src)
	return config, problems.Err()
}

// startWorkloads starts everything at once, and says when all is ready. What
// ends later stays down until somebody starts it: an agent's undo, or a person.
func (i *hostInit) startWorkloads(ctx context.Context, config *pb.HostConfig) error {
	starter, err := host.OpenWorkloads("", filepath.Join(i.dir(), "logs"))
	if err != nil {
		return err
	}
	all, starting := errgroup.WithContext(ctx)
	for _, w := range config.GetWorkloads() {
		all.Go(func() error {
			if err := starter.Start(starting, w); err != nil {
				return err
			}
			return awaitReady(starting, starter, w)
		})
	}
	if err := all.Wait(); err != nil {
		return err
	}
	fmt.Fprintln(i.say, readyLine)
	i.say.Close()
	<-ctx.Done()
	return nil
}

// keepAgent starts the agent again whenever it ends, as systemd would.
func (i *hostInit) keepAgent(ctx context.Context) {
	for ctx.Err() == nil {
		if err := i.runAgent(ctx); err != nil {
			slog.Warn("start agent", "host", i.host.Name, "error", err)
		}
		time.Sleep(restartDelay)
	}
}

func (i *hostInit) runAgent(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(i.dir(), "agent.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	agent, err := host.StartSelf(ctx, i.agentArgs(), host.ChildOptions{Session: true, Stderr: log})
	if err != nil {
		return err
	}
	defer agent.Close()
	// Its exit code may go to the reaper; its log says more anyway.
	_ = agent.Wait(ctx)
	return ctx.Err()
}

func (i *hostInit) agentArgs() []string {
	return []string{
		"agent", "--config", filepath.Join(i.dir(), "host.yaml"), "--bundle", i.folder.Bundle("agent-" + i.host.Name),
		"--state", filepath.Join(i.dir(), "state"), "--socket", i.folder.AgentSocket(i.host.Name),
	}
}

// initSocket is where a host's init can be found: who connects learns its
// process id in the caller's own pid namespace.
func (f Folder) initSocket(name string) string { return filepath.Join(f.Host(name), "init.sock") }

// readyLimit is how long a workload may take to get ready.
const readyLimit = 30 * time.Second

// notReady is what is said of a workload that did not get ready.
func notReady(w *pb.Workload, last error) error {
	why := "it was never asked"
	if last != nil {
		why = strings.TrimSpace(last.Error())
	}
	return fmt.Errorf("workload %s is not ready after %v: %s; its log may say why", w.GetName(), readyLimit, why)
}
