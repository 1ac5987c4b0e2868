package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// folderPrefix marks the folders of labs, in the folder for temporary files.
const folderPrefix = "squall-lab-"

// Folder is a lab's folder. It holds everything that the lab writes: hosts'
// configs and data, certificates, sockets and logs.
type Folder string

// FolderOf is the folder of the lab of that name.
func FolderOf(name string) Folder {
	return Folder(filepath.Join(os.TempDir(), folderPrefix+name))
}

// Name is the lab's name.
func (f Folder) Name() string { return strings.TrimPrefix(filepath.Base(string(f)), folderPrefix) }

func (f Folder) path(parts ...string) string {
	return filepath.Join(append([]string{string(f)}, parts...)...)
}

// Host is the folder of one host.
func (f Folder) Host(name string) string { return f.path("hosts", name) }

// Data holds a folder for each workload of a host.
func (f Folder) Data(host string) string { return f.path("data", host) }

// Log is what a workload of a host prints.
func (f Folder) Log(host, workload string) string {
	return filepath.Join(f.Host(host), "logs", workload+".log")
}

// Socket is the Unix socket on which the server of that host listens.
func (f Folder) Socket(host string) string { return filepath.Join(f.Host(host), "server.sock") }

// Bundle is the certificate bundle of a server, an agent or a user.
func (f Folder) Bundle(name string) string { return f.path("pki", name) }

// UserBundle is the bundle of the person at the command line.
func (f Folder) UserBundle() string { return f.Bundle("operator") }

// AgentSocket is the agent's own Unix socket on a host.
func (f Folder) AgentSocket(host string) string { return filepath.Join(f.Host(host), "agent.sock") }

// create makes the folder anew. One that is not ours, or a link planted in its
// place, is refused: the temporary folder belongs to everybody.
func (f Folder) create() error {
	if err := os.Mkdir(string(f), 0o700); err != nil {
		return fmt.Errorf("make lab folder: %w", err)
	}
	return nil
}

// ours reports whether the folder is a real one and belongs to this user.
func (f Folder) ours() bool {
	info, err := os.Lstat(string(f))
	if err != nil || !info.IsDir() {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// lock takes the folder's lock, which a holder keeps for as long as it lives.
// It returns nil without an error when somebody has it.
func (f Folder) lock() (*os.File, error) {
	file, err := os.OpenFile(f.path("lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock lab: %w", err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, file.Close()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock lab: %w", err), file.Close())
	}
	return file, nil
}

// Alive reports whether the lab's holder lives.
func (f Folder) Alive() bool {
	if !f.ours() {
		return false
	}
	file, err := f.lock()
	if err != nil || file == nil {
		return err == nil
	}
	file.Close()
	return false
}

// remove takes away everything of a lab that is dead: first its cgroups and
// whatever still runs in them, the folder last, so that an interrupted sweep
// is found again.
func (f Folder) remove(ctx context.Context) error {
	group, err := f.cgroup()
	if err == nil {
		err = group.remove(ctx)
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(string(f))
}

// write stores v as JSON.
func (f Folder) write(v any, parts ...string) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(f.path(parts...), append(data, '\n'), 0o600)
}

// read is the other half of write.
func (f Folder) read(v any, parts ...string) error {
	data, err := os.ReadFile(f.path(parts...))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("read %s: %w", f.path(parts...), err)
	}
	return nil
}

// folders are the lab folders of this user, alive or dead.
func folders() ([]Folder, error) {
	entries, err := os.ReadDir(os.TempDir())
	if err != nil {
		return nil, err
	}
	var found []Folder
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), folderPrefix)
		if f := FolderOf(name); ok && f.ours() {
			found = append(found, f)
		}
	}
	return found, nil
}

// Running lists the labs that are up.
func Running() ([]Folder, error) {
	all, err := folders()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var up []Folder
	for _, f := range all {
		if f.Alive() {
			up = append(up, f)
		}
	}
	return up, err
}

// Region is what the lab was built from.
func (f Folder) Region() (*Region, error) {
	r := &Region{}
	return r, f.read(r, "region.json")
}

// HostAlive reports whether a host's init lives.
func (f Folder) HostAlive(host string) bool {
	init, err := initProcess(f.initSocket(host))
	if err != nil {
		return false
	}
	return unix.Close(init) == nil
}
