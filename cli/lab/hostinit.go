package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"squall/agent/host"
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
	p := &place{}
	if err := folder.read(p, "hosts", name, placeFile); err != nil {
		return err
	}
	if os.Getenv(sealed) == "" {
		return seal(folder, p)
	}
	unix.CloseOnExec(4)
	return (&hostInit{folder: folder, host: &p.Host, say: say}).run(ctx)
}

// place is what a host's init needs to know of the region: all else is not for
// its eyes.
type place struct {
	Host Host
	// Squall is the path of this very binary.
	Squall string
}

const placeFile = "place.json"

// seal makes the host's mounts, name and network, and starts the second stage.
// It returns only when it could not.
func seal(folder Folder, p *place) error {
	h := &p.Host
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("make cgroup namespace: %w", err)
	}
	if err := errors.Join(hostMounts(folder, p), unix.Sethostname([]byte(h.Name))); err != nil {
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

// hostInit is the second stage: what systemd is on a machine.
type hostInit struct {
	folder  Folder
	host    *Host
	say     *os.File
	config  *pb.HostConfig
	starter *host.Workloads
}

func (i *hostInit) run(ctx context.Context) error {
	if err := os.Unsetenv(sealed); err != nil {
		return err
	}
	if err := i.open(); err != nil {
		return err
	}
	door, err := net.Listen("unix", i.folder.initSocket(i.host.Name))
	if err != nil {
		return err
	}
	defer door.Close()
	// It waits in the kernel for as long as there are children, so it ends with
	// this process, and the host with both.
	go reapOrphans(ctx)
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error { i.keepAgent(ctx); return nil })
	tasks.Go(func() error { i.serveDoor(ctx, door); return nil })
	tasks.Go(func() error { return i.startWorkloads(ctx) })
	return tasks.Wait()
}

func (i *hostInit) dir() string { return i.folder.Host(i.host.Name) }

// open reads the host's config.
func (i *hostInit) open() error {
	config, err := i.folder.config(i.host.Name)
	if err != nil {
		return err
	}
	i.config = config
	i.starter, err = host.OpenWorkloads("", filepath.Join(i.dir(), "logs"))
	return err
}

// startWorkloads starts everything, each after those that it names, and says
// when all is ready, or what is not. What ends later stays down until somebody
// starts it: an agent's undo, or a person.
func (i *hostInit) startWorkloads(ctx context.Context) error {
	failed := i.startAll(ctx)
	if len(failed) > 0 {
		line, err := json.Marshal(failed)
		if err != nil {
			return err
		}
		fmt.Fprintln(i.say, string(line))
		return failures(failed)
	}
	fmt.Fprintln(i.say, readyLine)
	i.say.Close()
	<-ctx.Done()
	return nil
}

// startAll returns those workloads that did not get ready. Those that were to
// come after them are not started, and not to blame.
func (i *hostInit) startAll(ctx context.Context) (failed []failure) {
	done := map[string]chan struct{}{} // closed when the workload is ready or never will be
	ready := map[string]bool{}
	for _, w := range i.config.GetWorkloads() {
		done[w.GetName()] = make(chan struct{})
	}
	var mu sync.Mutex // guards ready and failed
	var all sync.WaitGroup
	for _, w := range i.config.GetWorkloads() {
		all.Go(func() {
			defer close(done[w.GetName()])
			for _, before := range w.GetAfter() {
				<-done[before]
				mu.Lock()
				ok := ready[before]
				mu.Unlock()
				if !ok {
					return
				}
			}
			err := i.start(ctx, w)
			mu.Lock()
			defer mu.Unlock()
			ready[w.GetName()] = err == nil
			if err != nil {
				failed = append(failed, i.blame(w, err))
			}
		})
	}
	all.Wait()
	return failed
}

// blame says why a workload is not up.
func (i *hostInit) blame(w *pb.Workload, err error) failure {
	return failure{
		Host: i.host.Name, Workload: w.GetName(), Why: strings.TrimSpace(err.Error()),
		Died: !errors.Is(err, errLate),
		Said: lastOf(i.folder.Log(i.host.Name, w.GetName())),
	}
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
		"--state", filepath.Join(i.dir(), "state"), "--logs", filepath.Join(i.dir(), "logs"), "--socket", i.folder.AgentSocket(i.host.Name),
	}
}

// initSocket is where a host's init can be found: who connects learns its
// process id in the caller's own pid namespace.
func (f Folder) initSocket(name string) string { return filepath.Join(f.Host(name), "init.sock") }
