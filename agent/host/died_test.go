package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"squall/agent/host"
	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// TestDeathOfADelayLineIsTold kills the process of one of two lines: its tag is
// told, and that of the other, which is detached, is not.
func TestDeathOfADelayLineIsTold(t *testing.T) {
	hosttest.Require(t, "delay.line")
	pair, base := hosttest.NewPair(t), hosttest.NewCgroup(t)
	err := pair.A.Do(func() error {
		h, err := host.Open(&pb.HostConfig{}, host.Options{Base: base})
		if err != nil {
			return err
		}
		defer h.Close()
		h.Renew("squall", h.Boot()+time.Minute)
		lineUnder(t, h, "squall/run/detached/delay")
		pid := lineUnder(t, h, "squall/run/killed/delay")
		do(t, h, detach("squall/run/detached/delay"))
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			return err
		}
		select {
		case d := <-h.Died():
			if d.Tag != "squall/run/killed/delay" || !strings.Contains(d.Why, "killed") {
				t.Errorf("told: %+v", d)
			}
		case <-time.After(time.Minute):
			t.Error("its death is not told")
		}
		do(t, h, detach("squall/run/killed/delay"))
		if len(h.Died()) > 0 {
			t.Errorf("told, too: %+v", <-h.Died())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// lineUnder begins a delay line under a tag, and finds its process.
func lineUnder(t *testing.T, h *host.Real, tag string) (pid int) {
	t.Helper()
	before := lines(t)
	do(t, h, &pb.Op{
		Tag: tag, Gate: &pb.Gate{EndBootNanos: int64(h.Boot() + time.Minute)},
		Kind: &pb.Op_DelayLine{DelayLine: &pb.DelayLine{DelayNanos: 1e6}},
	})
	for pid := range lines(t) {
		if !before[pid] {
			return pid
		}
	}
	t.Fatalf("no process came with %s", tag)
	return 0
}

// lines are the processes of this one's delay lines.
func lines(t *testing.T) map[int]bool {
	t.Helper()
	children, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]bool{}
	for _, file := range children {
		pids, _ := os.ReadFile(file) // the thread may have ended
		for _, field := range strings.Fields(string(pids)) {
			var pid int
			_, _ = fmt.Sscan(field, &pid)
			args, _ := os.ReadFile("/proc/" + field + "/cmdline")
			found[pid] = strings.Contains(string(args), "\x00helper\x00delay-line")
		}
	}
	return found
}
