package host_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"squall/agent/host"
	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

func TestRespawnIsCaught(t *testing.T) {
	hosttest.Require(t, "hold.exec")
	for name, script := range map[string]string{
		"that executes a program":   "$enter; exec sleep 60",
		"that only forks":           "$enter; while :; do read x < /dev/null; done",
		"whose cgroup is made anew": "rmdir $cgroup && mkdir $cgroup; $enter; exec sleep 60",
	} {
		t.Run(name, func(t *testing.T) {
			h, base := openHost(t, shell("web", "sleep 60"))
			do(t, h, start("web"))
			cgroup := filepath.Join(base, host.WorkloadsFolder, "web")
			stop := respawner(t, cgroup, script)
			now := h.Boot()
			h.Renew("run", now+time.Minute)
			do(t, h, &pb.Op{
				Tag: "run/step/hold", Gate: &pb.Gate{StartBootNanos: int64(now), EndBootNanos: int64(now + time.Minute)},
				Kind: &pb.Op_HoldDown{HoldDown: &pb.HoldDown{Cgroups: []string{cgroup}}},
			})
			do(t, h, kill(0, "web"))
			eventually(t, "respawns are caught", func() bool { return valueOf(t, h, "run/step", "respawns") > 2 })
			stop()
			eventually(t, "nothing lives", func() bool { return processes(t, base, "web") == 0 })
			do(t, h, detach("run/step"))
			do(t, h, start("web"))
			time.Sleep(30 * time.Millisecond)
			if processes(t, base, "web") == 0 {
				t.Error("the workload can't run after the hold")
			}
		})
	}
}

// respawner is a manager that starts a program in the cgroup again and again.
func respawner(t *testing.T, cgroup, script string) (stop func()) {
	t.Helper()
	mount, err := host.CgroupMount()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(mount, cgroup)
	script = strings.NewReplacer("$enter", "echo $$ > "+dir+"/cgroup.procs", "$cgroup", dir).Replace(script)
	cmd := exec.Command("sh", "-c", "while :; do sh -c '"+script+"'; sleep 0.01; done")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = nil
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := false
	stop = func() {
		if !done {
			done = true
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			_ = cmd.Wait()
		}
	}
	t.Cleanup(stop)
	return stop
}
