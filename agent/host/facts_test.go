package host_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"squall/agent/host"
	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

func TestFactsNameWorkloadsAndTheirPorts(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	base := hosttest.NewCgroup(t)
	logs := t.TempDir()
	config := &pb.HostConfig{Name: "h", Zone: "z", Workloads: []*pb.Workload{
		{Name: "web", Start: []string{self}, Env: map[string]string{roleEnv: "listen"}},
		{Name: "orphan", Cgroup: base + "/none", Protect: true},
	}}
	h, err := host.Open(config, host.Options{Base: base, Logs: logs})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	do(t, h, start("web"))
	var want []uint32
	eventually(t, "the workload listens", func() bool {
		b, _ := os.ReadFile(filepath.Join(logs, "web.log"))
		var tcp, udp uint32
		n, _ := fmt.Sscan(string(b), &tcp, &udp)
		want = []uint32{tcp, udp}
		return n == 2
	})
	facts, err := h.Facts(t.Context(), host.Ports)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	web, orphan := facts.GetWorkloads()[0], facts.GetWorkloads()[1]
	if !slices.Equal(web.GetPorts(), want) || web.GetProcesses() != 1 || !web.GetCanStart() {
		t.Errorf("web is %v, want ports %v", web, want)
	}
	if orphan.GetCanStart() || orphan.GetProcesses() != 0 || !orphan.GetProtect() {
		t.Errorf("orphan is %v", orphan)
	}
	if facts.GetBootId() == "" {
		t.Errorf("facts %v", facts)
	}
}

// TestFactsTellWhichNetworkAWorkloadIsIn: one in a namespace of its own, as a
// container is, has its ports there, whoever has the same ones here.
func TestFactsTellWhichNetworkAWorkloadIsIn(t *testing.T) {
	hosttest.RequireProgram(t, "unshare", "util-linux")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	box := &pb.Workload{Name: "box", Start: []string{"unshare", "--net", self}, Env: map[string]string{roleEnv: "listen on 8099"}}
	h, _ := openHost(t, shell("web", "exec sleep 60"), box)
	do(t, h, start("web", "box"))
	eventually(t, "the box listens in a network of its own", func() bool {
		facts, err := h.Facts(t.Context(), host.Ports)
		if err != nil {
			t.Fatal(err)
		}
		web, box := facts.GetWorkloads()[0], facts.GetWorkloads()[1]
		if len(web.GetNetNamespace()) > 0 || web.GetCgroupId() == 0 || !web.GetOurs() || len(web.GetProcess()) != 1 || web.GetProcess()[0].GetStartTicks() == 0 {
			t.Fatalf("web is %v", web)
		}
		return len(box.GetNetNamespace()) == 1 && slices.Equal(box.GetPorts(), []uint32{8099})
	})
}

// Nobody waits for the trials, and they come to an end.
func TestFactsListAbilitiesOnceTheyWereTried(t *testing.T) {
	hosttest.RequireRoot(t)
	h, _ := openHost(t)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		facts, err := h.Facts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := len(facts.GetAbilities()); n == len(host.Abilities()) {
			return
		} else if n != 0 {
			t.Fatalf("%d abilities of %d", n, len(host.Abilities()))
		}
	}
	t.Error("the trials don't end")
}

// The host's word comes before anything is loaded or tried.
func TestHostThatSaysNeverGetsNoPrograms(t *testing.T) {
	hosttest.RequireRoot(t)
	ns, base := hosttest.NewNetNS(t), hosttest.NewCgroup(t)
	if err := ns.Do(func() error { return refusesAll(t, base) }); err != nil {
		t.Error(err)
	}
}

func refusesAll(t *testing.T, base string) error {
	config := &pb.HostConfig{Name: "h", Squall: pb.SquallPolicy_SQUALL_POLICY_NEVER}
	h, err := host.Open(config, host.Options{Base: base, Ready: true})
	if err != nil {
		return err
	}
	defer h.Close()
	silence := &pb.Op{Tag: "run/step/silence", Kind: &pb.Op_Silence{Silence: &pb.Silence{}}}
	if err := h.Do(t.Context(), silence, nil); err == nil {
		t.Error("it was silenced")
	}
	facts, err := h.Facts(t.Context())
	for ; err == nil && len(facts.GetAbilities()) == 0; facts, err = h.Facts(t.Context()) {
		time.Sleep(time.Millisecond)
	}
	for _, a := range facts.GetAbilities() {
		if a.GetState() != pb.AbilityState_ABILITY_STATE_MISSING || !strings.Contains(a.GetDetail(), "squall: never") {
			t.Errorf("tried %s: %v", a.GetName(), a)
		}
	}
	return err
}

func TestDoctorAsRoot(t *testing.T) {
	hosttest.RequireRoot(t)
	for _, a := range host.Doctor(t.Context()) {
		t.Log(a.GetName(), a.GetState(), a.GetDetail())
		if a.GetState() == pb.AbilityState_ABILITY_STATE_MISSING {
			t.Errorf("%s is missing: %s", a.GetName(), a.GetDetail())
		}
	}
}

func TestDoctorWithoutRootSaysWhatStillWorks(t *testing.T) {
	hosttest.RequireRoot(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"=doctor")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"root ABILITY_STATE_MISSING not root", "still work", "bpf ABILITY_STATE_MISSING"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

func TestUnsupportedIsNamed(t *testing.T) {
	h := hosttest.NewFake(&pb.HostConfig{})
	h.SetFacts(func(f *pb.Facts) { f.Abilities = nil })
	err := h.Do(t.Context(), &pb.Op{Tag: "t", Kind: &pb.Op_Silence{Silence: &pb.Silence{}}}, nil)
	if !errors.Is(err, host.ErrUnsupported) || !strings.Contains(err.Error(), "silence") {
		t.Errorf("got %v", err)
	}
}
