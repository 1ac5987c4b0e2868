package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"squall/agent/host"
)

// Command is a command line to run on a host of the lab.
type Command struct {
	Folder Folder
	Host   string
	Argv   []string
	// Workload, if any, is the one beside which it runs: in its cgroup, so that
	// what is done to the workload is done to it, as its account, and with its
	// environment and folder. Without one it runs as root, in a cgroup of its own.
	Workload string
	// Env is added to the little that a program needs, NAME=VALUE.
	Env []string
	// Standard streams, as in os/exec.
	Stdin, Stdout, Stderr *os.File
}

// Run runs the command inside the host's namespaces and gives its exit code, as
// a shell would. The error is a StartError where the host can't run it.
func (c *Command) Run(ctx context.Context) (int, error) {
	if len(c.Argv) == 0 {
		return 0, errors.New("run on host: no command given")
	}
	code, err := 0, error(nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Never unlocked: a thread that has changed namespaces is thrown away.
		runtime.LockOSThread()
		code, err = c.runHere(ctx)
	}()
	<-done
	if err != nil {
		return 0, fmt.Errorf("run on host %s: %w", c.Host, err)
	}
	return code, nil
}

// runHere turns this thread into one of the host's and forks from it.
func (c *Command) runHere(ctx context.Context) (int, error) {
	init, err := initProcess(c.Folder.initSocket(c.Host))
	if err != nil {
		return 0, err
	}
	defer unix.Close(init)
	as, err := c.as()
	if err != nil {
		return 0, err
	}
	group, err := c.cgroup()
	if err != nil {
		return 0, err
	}
	defer group.Close()
	if err := enter(init); err != nil {
		return 0, err
	}
	cmd, err := as.Command(ctx)
	if err != nil {
		return 0, err
	}
	cmd.Env = append(terminal(cmd.Env), c.Env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: cmd.SysProcAttr.Credential, UseCgroupFD: true, CgroupFD: int(group.Fd()),
	}
	return ended(c.Argv[0], cmd.Run())
}

// as is the program, with the account, environment and folder of its workload.
func (c *Command) as() (host.Program, error) {
	if c.Workload == "" {
		return host.Program{Argv: c.Argv, Dir: "/", Env: map[string]string{"HOME": "/root"}}, nil
	}
	config, err := c.Folder.config(c.Host)
	if err != nil {
		return host.Program{}, err
	}
	for _, w := range config.GetWorkloads() {
		if w.GetName() == c.Workload {
			return host.Program{Argv: c.Argv, Dir: cmp.Or(w.GetDir(), "/"), Env: w.GetEnv(), User: w.GetUser()}, nil
		}
	}
	return host.Program{}, fmt.Errorf("it has no workload %q", c.Workload)
}

// terminal adds what programs need to know of a person's terminal.
func terminal(env []string) []string {
	if t, ok := os.LookupEnv("TERM"); ok {
		return append(env, "TERM="+t)
	}
	return env
}

// cgroup is where the command lives: the workload's, or one for people's own
// commands on a host.
func (c *Command) cgroup() (*os.File, error) {
	lab, err := c.Folder.cgroup()
	if err != nil {
		return nil, err
	}
	group := cgroup(filepath.Join(string(lab), c.Host, "exec"))
	if c.Workload != "" {
		group = cgroup(filepath.Join(string(lab), c.Host, host.WorkloadsFolder, c.Workload))
	}
	if err := group.make(); err != nil {
		return nil, err
	}
	return os.Open(string(group))
}

// enter moves this thread into every namespace of the process. A thread that
// shares its root with others may not change mounts, so it stops sharing first.
func enter(pidfd int) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare root: %w", err)
	}
	const all = unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS |
		unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP
	if err := unix.Setns(pidfd, all); err != nil {
		return fmt.Errorf("enter namespaces: %w", err)
	}
	return nil
}

// initProcess is a pidfd of the process that listens on the socket, whatever
// pid namespace it lives in.
func initProcess(socket string) (int, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return -1, fmt.Errorf("find its init: %w", err)
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return -1, err
	}
	pidfd := -1
	controlErr := raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pidfd, err = unix.PidfdOpen(int(cred.Pid), 0)
		}
	})
	if err := errors.Join(controlErr, err); err != nil {
		return -1, fmt.Errorf("find its init: %w", err)
	}
	return pidfd, nil
}
