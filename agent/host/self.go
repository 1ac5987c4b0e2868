package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// ChildOptions say how a child role is tied to its parent.
type ChildOptions struct {
	// Files become descriptors 3, 4, … of the child.
	Files []*os.File
	// Env is added to the parent's.
	Env []string
	// Session lets the child lead a session of its own, out of reach of the terminal.
	Session bool
	// DieWithParent lets the kernel kill the child when the parent dies. Where
	// it is set, StartSelf keeps the thread that the kernel watches. It is not
	// for urgent ones.
	DieWithParent bool
	// Urgent lets the child go before everything that is not real-time, where
	// that is allowed; with Session, before other sessions too.
	Urgent bool
	// In is its standard input; nil is none.
	In *os.File
	// Out is its standard output; nil is Stderr.
	Out *os.File
	// Stderr is where the child writes; nil is the parent's.
	Stderr *os.File
}

// Child is a process of this binary in another role. Wait reaps it, once.
type Child struct {
	*Process
	cmd  *exec.Cmd
	once sync.Once
	done chan struct{}
	err  error
}

// StartSelf starts this binary again with args. ctx bounds the start alone:
// the child lives on after it.
func StartSelf(ctx context.Context, args []string, o ChildOptions) (*Child, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start %v: %w", args, err)
	}
	// The file itself, not its path: it may have been replaced by an upgrade.
	cmd := exec.Command("/proc/self/exe", args...) //nolint:noctx // it outlives ctx
	cmd.Args[0] = os.Args[0]
	cmd.ExtraFiles, cmd.Stdout, cmd.Stderr = o.Files, cmp.Or(o.Out, o.stderr()), o.stderr()
	if o.In != nil {
		cmd.Stdin = o.In
	}
	cmd.Env = append(os.Environ(), o.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: o.Session}
	c := &Child{cmd: cmd, done: make(chan struct{})}
	if err := c.start(o); err != nil {
		return nil, fmt.Errorf("start %v: %w", args, err)
	}
	var err error
	if c.Process, err = OpenPidfd(cmd.Process.Pid); err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	return c, nil
}

func (o ChildOptions) stderr() *os.File {
	if o.Stderr != nil {
		return o.Stderr
	}
	return os.Stderr
}

// start forks. The kernel sends PDEATHSIG when the forking *thread* ends, and
// Go ends threads at will: so a thread of the child's own forks it and stays
// until the child is reaped.
func (c *Child) start(o ChildOptions) error {
	switch {
	case o.Urgent:
		err := urgent(c.cmd.Start)
		if err == nil && o.Session {
			sessionFirst(c.cmd.Process.Pid)
		}
		return err
	case !o.DieWithParent:
		return c.cmd.Start()
	}
	c.cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	started := make(chan error, 1)
	go c.keepThread(started)
	return <-started
}

// keepThread forks on a locked thread and holds it until Wait is done.
func (c *Child) keepThread(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := c.cmd.Start()
	started <- err
	if err == nil {
		<-c.done
	}
}

// Wait returns when the child is dead and reaped, with its exit as an error,
// or when ctx ends. It may be called again, also from elsewhere.
func (c *Child) Wait(ctx context.Context) error {
	if err := c.Process.Wait(ctx); err != nil {
		return err
	}
	c.once.Do(func() {
		c.err = c.cmd.Wait()
		close(c.done)
	})
	return c.err
}
