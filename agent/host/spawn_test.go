package host_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"squall/agent/host"
	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// TestStartKeepsACgroupThatIsNotOurs: the folder that the config names is
// somebody's, with its owner, its limits and its attributes. Killed and started
// again, the workload lives in the very same.
func TestStartKeepsACgroupThatIsNotOurs(t *testing.T) {
	web := shell("web", "exec sleep 60")
	web.User = "nobody"
	h, dir := openTheirs(t, web)
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "empty"), 0o755), os.Chown(dir, 1234, 1234),
		unix.Setxattr(dir, "user.squall.test", []byte("theirs"), 0),
		os.WriteFile(filepath.Join(dir, "cgroup.max.depth"), []byte("7"), 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		do(t, h, start("web"))
		eventually(t, "it lives there", func() bool { return livesIn(t, dir) == "sleep" })
		do(t, h, kill(0, "web"))
		do(t, h, detach("run/step"))
	}
	if got := stateOf(t, dir); got != (folder{uid: 1234, mark: "theirs", depth: "7\n", below: true}) {
		t.Errorf("it is now %+v", got)
	}
}

// TestStartIsNotTraced: who was placed runs by itself, and is bound to nobody.
func TestStartIsNotTraced(t *testing.T) {
	h, dir := openTheirs(t, shell("web", "kill -TRAP $$; exec sleep 60"))
	do(t, h, start("web"))
	// A trap that nobody traces ends the shell.
	eventually(t, "it ends by its own trap", func() bool { return livesIn(t, dir) == "" })
}

// openTheirs opens a host with a workload in a cgroup that is not the agent's,
// and tells its folder.
func openTheirs(t *testing.T, w *pb.Workload) (h *host.Real, dir string) {
	t.Helper()
	base := hosttest.NewCgroup(t)
	mount, err := host.CgroupMount()
	if err != nil {
		t.Fatal(err)
	}
	w.Cgroup = base + "/app"
	config := &pb.HostConfig{Name: "h", Zone: "z", Workloads: []*pb.Workload{w}}
	if h, err = host.Open(config, host.Options{Base: base + "/agent"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h, filepath.Join(mount, base, "app")
}

// folder is what somebody may have set on a cgroup.
type folder struct {
	uid         uint32
	mark, depth string
	below       bool
}

func stateOf(t *testing.T, dir string) (f folder) {
	t.Helper()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	f.uid = info.Sys().(*syscall.Stat_t).Uid
	value := make([]byte, 64)
	if n, err := unix.Getxattr(dir, "user.squall.test", value); err == nil {
		f.mark = string(value[:n])
	}
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.max.depth"))
	if err != nil {
		t.Fatal(err)
	}
	f.depth = string(b)
	_, err = os.Stat(filepath.Join(dir, "empty"))
	f.below = err == nil
	return f
}

// livesIn names the one process of a cgroup; empty where there is none.
func livesIn(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		t.Fatal(err)
	}
	var pid string
	for _, c := range string(b) {
		if c == '\n' {
			break
		}
		pid += string(c)
	}
	name, _ := os.ReadFile("/proc/" + pid + "/comm")
	if pid == "" || len(name) == 0 {
		return ""
	}
	return string(name[:len(name)-1])
}
