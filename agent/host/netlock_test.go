package host_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"

	"squall/agent/host"
	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// startOther starts a process that holds a fault in the caller's network namespace.
func startOther(t *testing.T, role string) *exec.Cmd {
	t.Helper()
	holder := exec.Command("/proc/self/exe")
	holder.Env = append(os.Environ(), roleEnv+"="+role)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if said, _ := bufio.NewReader(out).ReadString('\n'); said != "attached: <nil>\n" {
		endOther(holder)
		t.Fatalf("the holder said %q", said)
	}
	return holder
}

func endOther(holder *exec.Cmd) {
	_ = holder.Process.Kill()
	_ = holder.Wait()
}

// TestTwoAgentsInOneNetworkNamespace: the second is told who has its faults there,
// sweeps nothing of the other's, and comes to its turn when that one has ended.
func TestTwoAgentsInOneNetworkNamespace(t *testing.T) {
	hosttest.Require(t, "silence")
	pair, base := hosttest.NewPair(t), hosttest.NewCgroup(t)
	err := pair.A.Do(func() error {
		holder := startOther(t, "silence")
		defer endOther(holder)
		h, err := host.Open(&pb.HostConfig{}, host.Options{Base: base})
		if err != nil {
			return err
		}
		defer h.Close()
		var held *host.Locked
		if err := h.Do(context.Background(), silence(h), nil); !errors.As(err, &held) || held.Pid != holder.Process.Pid {
			t.Errorf("beside process %d: %v", holder.Process.Pid, err)
		}
		if left, err := h.Leftovers(t.Context(), nil); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
		if found, err := h.Clean(t.Context(), "squall/run/step", nil); err != nil || len(found) != 1 || !found[0].GetHolds() {
			t.Errorf("not clean: %v, %v", found, err)
		}
		if err := takeOff("eth0"); err != nil {
			t.Errorf("the other's programs were swept: %v", err)
		}
		endOther(holder)
		do(t, h, silence(h))
		do(t, h, detach("squall/run/step/silence"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
