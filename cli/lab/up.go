package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"squall/agent/host"
	pb "squall/proto/squall/v1"
)

// HolderCommand, RegionCommand and HostCommand are the hidden commands by
// which the lab starts this binary again.
const (
	HolderCommand = "lab-holder"
	RegionCommand = "lab-region"
	HostCommand   = "lab-init"
)

// ErrUp says that a lab of this name is up already.
var ErrUp = errors.New("it is up already")

// Up builds the region of a lab file and returns when every workload is ready.
// It calls progress with a line for each thing that has happened. The region
// lives on when this process ends.
func Up(ctx context.Context, file *pb.Lab, progress func(string)) (Folder, error) {
	region, err := NewRegion(file)
	if err != nil {
		return "", err
	}
	folder := FolderOf(region.Name)
	if err := build(folder, region); err != nil {
		return folder, fmt.Errorf("build lab %s: %w", region.Name, err)
	}
	if err := startHolder(ctx, folder, progress); err != nil {
		return folder, fmt.Errorf("start lab %s: %w", region.Name, err)
	}
	if err := folder.checkAlive(ctx, region); err != nil {
		return folder, errors.Join(fmt.Errorf("start lab %s: %w", region.Name, err), folder.KeepLogs())
	}
	return folder, nil
}

// build writes everything that the region's processes read.
func build(folder Folder, region *Region) error {
	if folder.Alive() {
		return ErrUp
	}
	if err := os.RemoveAll(folder.Failed()); err != nil {
		return fmt.Errorf("remove the logs of the last failure: %w", err)
	}
	if err := folder.create(); err != nil {
		return err
	}
	squall, err := os.Executable()
	if err != nil {
		return err
	}
	for _, h := range region.Hosts {
		if n := len(folder.Socket(h.Name)); n > maxSocketPath {
			return fmt.Errorf("path of %s's socket: %d bytes, at most %d work; set TMPDIR to a shorter folder", h.Name, n, maxSocketPath)
		}
		v := words{region: region, host: h, folder: folder, squall: squall}
		if err := v.write(); err != nil {
			return fmt.Errorf("write host %s: %w", h.Name, err)
		}
	}
	if err := writeBundles(folder, region); err != nil {
		return err
	}
	return folder.write(region, "region.json")
}

// maxSocketPath is the longest path of a Unix socket on Linux.
const maxSocketPath = 107

// startHolder starts the holder and follows what it says until all is ready.
func startHolder(ctx context.Context, folder Folder, progress func(string)) error {
	log, err := os.OpenFile(folder.path("lab.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	said, say, err := os.Pipe()
	if err != nil {
		return err
	}
	defer said.Close()
	_, err = host.StartSelf(ctx, []string{HolderCommand, string(folder)}, host.ChildOptions{
		Files: []*os.File{say}, Session: true, Stderr: log,
	})
	say.Close()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { said.Close() })()
	return follow(ctx, said, progress)
}

// maxSaid bounds a line that a lab says of its start: the last words of all its logs.
const maxSaid = 4 << 20

// readyLine ends a good start, and failedMark begins the line of a bad one.
const (
	readyLine  = "ready"
	failedMark = "failed: "
)

func follow(ctx context.Context, said *os.File, progress func(string)) error {
	lines := bufio.NewScanner(said)
	lines.Buffer(nil, maxSaid)
	for lines.Scan() {
		line := lines.Text()
		if line == readyLine {
			return nil
		}
		if why, ok := strings.CutPrefix(line, failedMark); ok {
			if all, err := strconv.Unquote(why); err == nil {
				why = all
			}
			return errors.New(why)
		}
		progress(line)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.New("the holder ended before it was ready; lab.log in its folder may say why")
}

// Hold is the holder: it starts the region, waits for its end, and clears up.
// Whatever way it dies, the kernel ends the region.
func Hold(ctx context.Context, folder Folder) error {
	say := os.NewFile(3, "status")
	err := hold(ctx, folder, say)
	if err != nil {
		fmt.Fprintln(say, failedMark+strconv.Quote(err.Error()))
	}
	return err
}

func hold(ctx context.Context, folder Folder, say *os.File) error {
	lock, err := folder.lock()
	if err != nil || lock == nil {
		return errors.Join(err, ErrUp)
	}
	defer lock.Close()
	if _, err := lock.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		return fmt.Errorf("sign lock: %w", err)
	}
	group, err := folder.cgroup()
	if err != nil {
		return err
	}
	if err := group.make(); err != nil {
		return err
	}
	runErr := runRegion(folder, group, say)
	sweep, cancel := context.WithTimeout(context.WithoutCancel(ctx), sweepLimit)
	defer cancel()
	return errors.Join(runErr, folder.remove(sweep))
}

// runRegion runs pid 1 of the region until it ends. Its own network namespace
// is the router.
func runRegion(folder Folder, group cgroup, say *os.File) error {
	cmd := exec.Command("/proc/self/exe", RegionCommand, string(folder)) //nolint:noctx // it ends with this process
	cmd.Args[0] = os.Args[0]
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{say}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
	}
	if err := startIn(cmd, group); err != nil {
		return fmt.Errorf("start region: %w", err)
	}
	say.Close()
	err := cmd.Wait()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		return nil // by `lab down`, or it has said why itself
	}
	return err
}

// startIn starts cmd as a member of a cgroup from its first instruction.
func startIn(cmd *exec.Cmd, group cgroup) error {
	dir, err := os.Open(string(group))
	if err != nil {
		return err
	}
	defer dir.Close()
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
	return cmd.Start()
}

// downLimit is how long a lab may take to end, and holderLimit how much of that
// its holder has to clear up before it is killed too.
const (
	downLimit   = 10 * time.Second
	holderLimit = 2 * time.Second
)

// Down ends a lab and returns when nothing of it is left. A lab that is not
// there is down.
func Down(ctx context.Context, folder Folder) error {
	ctx, cancel := context.WithTimeout(ctx, downLimit)
	defer cancel()
	group, err := folder.cgroup()
	if err != nil {
		return err
	}
	if err := group.kill(); err != nil {
		return fmt.Errorf("end lab %s: %w", folder.Name(), err)
	}
	// The holder clears up by itself; it is waited for, and stood in for.
	holder := folder.holder()
	if holder != nil {
		defer holder.Close()
		defer time.AfterFunc(holderLimit, func() { _ = holder.Kill() }).Stop() // stopped or stuck
	}
	for folder.ours() {
		if _, err := folder.sweep(ctx); err != nil {
			return err
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("end lab %s: %w", folder.Name(), err)
		}
	}
	if holder != nil {
		return holder.Wait(ctx)
	}
	return nil
}

// holder is the lab's holder; nil when nobody holds it. It has signed the lock,
// and as long as the lock is taken the process id is its own.
func (f Folder) holder() *host.Process {
	text, err := os.ReadFile(f.path("lock"))
	if err != nil {
		return nil
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		return nil
	}
	p, err := host.OpenPidfd(pid)
	if err != nil {
		return nil
	}
	if !f.Alive() {
		p.Close()
		return nil
	}
	return p
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
