package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	pb "squall/proto/squall/v1"
)

// Program is a program as the host's owner describes it. It is started without
// a shell.
type Program struct {
	Argv []string
	// Env is added to PATH, HOME, LANG and TZ, the only variables of ours that it gets.
	Env map[string]string
	// Dir is where it works; empty is where we do.
	Dir string
	// User is the account that it runs as; empty is ours.
	User string
}

// programOf is one that runs as a workload does.
func programOf(w *pb.Workload, argv []string) Program {
	return Program{Argv: argv, Env: w.GetEnv(), Dir: w.GetDir(), User: w.GetUser()}
}

const (
	// maxOutput bounds what is kept of a program's output, and maxComplaint of its errors.
	maxOutput, maxComplaint = 64 << 10, 1 << 10
	// outputDelay is how long what a program started may hold its streams open.
	outputDelay = time.Second
)

// Output runs the program until its end, or kills it with its session at ctx's
// end, and returns the beginning of what it printed. A code other than 0 is an error.
func (p Program) Output(ctx context.Context) ([]byte, error) {
	cmd, err := p.Command(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	out, complaint := head{most: maxOutput}, head{most: maxComplaint}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &complaint, outputDelay
	if err := onUsualTime(cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Argv[0], err)
	}
	defer context.AfterFunc(ctx, func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) })()
	err = cmd.Wait()
	if ctx.Err() != nil {
		return out.kept, fmt.Errorf("run %s: %w", p.Argv[0], ctx.Err())
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		line, _, _ := strings.Cut(strings.TrimSpace(strings.ToValidUTF8(string(complaint.kept), "?")), "\n")
		return out.kept, fmt.Errorf("run %s: %w: %s", p.Argv[0], err, line)
	}
	return out.kept, nil
}

// Command is the program, ready to be started in a session of its own; the
// kernel ends it alone when ctx ends. It fails where the account is unknown.
func (p Program) Command(ctx context.Context) (*exec.Cmd, error) {
	if len(p.Argv) == 0 {
		return nil, errors.New("start program: it has no name")
	}
	cmd := exec.CommandContext(ctx, p.Argv[0], p.Argv[1:]...)
	cmd.Dir, cmd.SysProcAttr = p.Dir, &syscall.SysProcAttr{Setsid: true}
	var as map[string]string
	if p.User != "" {
		account, err := LookUpAccount(p.User)
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", p.Argv[0], err)
		}
		cmd.SysProcAttr.Credential = account.credential()
		as = account.environment()
	}
	cmd.Env = environment(as, p.Env)
	return cmd, nil
}

// environment is no more of ours than programs need, and what others say on top.
func environment(more ...map[string]string) []string {
	all := map[string]string{}
	for _, name := range []string{"PATH", "HOME", "LANG", "TZ"} {
		if value, ok := os.LookupEnv(name); ok {
			all[name] = value
		}
	}
	for _, m := range more {
		maps.Copy(all, m)
	}
	var env []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		env = append(env, name+"="+all[name])
	}
	return env
}

// head keeps the beginning of what is written to it.
type head struct {
	kept []byte
	most int
}

func (h *head) Write(b []byte) (int, error) {
	h.kept = append(h.kept, b[:min(len(b), h.most-len(h.kept))]...)
	return len(b), nil
}
