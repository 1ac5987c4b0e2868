package host_test

import (
	"errors"
	"path"
	"testing"
	"time"

	"squall/agent/host"
	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// TestFaultFollowsACgroupThatIsMadeAnew: a workload that is started again, in a
// new cgroup of the old name, is under the fault as before. So is one that had no
// cgroup when the fault began.
func TestFaultFollowsACgroupThatIsMadeAnew(t *testing.T) {
	hosttest.Require(t, "silence")
	hosttest.Require(t, "dns.drop")
	for name, aim := range map[string]func(*pb.Op, []string){
		"silence": func(op *pb.Op, cgroups []string) { op.GetSilence().Cgroups = cgroups },
		"drop_dns": func(op *pb.Op, cgroups []string) {
			op.Kind = &pb.Op_DropDns{DropDns: &pb.DropDNS{SharePpm: 1_000_000, Cgroups: cgroups}}
		},
	} {
		for _, absent := range []bool{false, true} {
			t.Run(path.Join(name, map[bool]string{true: "absent", false: "present"}[absent]), func(t *testing.T) {
				base := hosttest.NewCgroup(t)
				pair := hosttest.NewPair(t)
				if err := pair.A.Do(func() error { return followsAnew(t, base, aim, absent) }); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

func followsAnew(t *testing.T, base string, aim func(*pb.Op, []string), absent bool) error {
	web := &pb.Workload{Name: "web", Start: []string{"bash", "-c", "while sleep 0.01; do echo x 2>/dev/null >/dev/udp/10.77.0.2/53; done"}}
	h, err := host.Open(&pb.HostConfig{Name: "h", Zone: "z", Workloads: []*pb.Workload{web}}, host.Options{Base: base})
	if err != nil {
		return err
	}
	defer h.Close()
	op := silence(h)
	aim(op, []string{path.Join(base, host.WorkloadsFolder, "web")})
	if absent {
		do(t, h, op)
		do(t, h, start("web"))
	} else {
		do(t, h, start("web"))
		do(t, h, op)
	}
	for range 3 {
		if err := bites(t, h, op.GetTag()); err != nil {
			return err
		}
		do(t, h, kill(0, "web"))
		do(t, h, detach("run/step"))
		do(t, h, start("web"))
	}
	if n := valueOf(t, h, op.GetTag(), "followed"); n < 2 {
		t.Errorf("%g cgroups were followed, want 2 or more", n)
	}
	do(t, h, detach(op.GetTag()))
	return nil
}

// bites waits until the fault under a tag drops more. It fails without t.Fatal,
// which is not for the thread of a namespace.
func bites(t *testing.T, h *host.Real, tag string) error {
	from := valueOf(t, h, tag, "dropped")
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if valueOf(t, h, tag, "dropped") > from+3 {
			return nil
		}
	}
	return errors.New("the fault does not bite")
}

// valueOf reads one of the evidence of a tag; 0 where there is none.
func valueOf(t *testing.T, h *host.Real, tag, name string) float64 {
	t.Helper()
	found, err := h.Evidence(t.Context(), tag)
	if err != nil {
		t.Error(err)
	}
	for _, e := range found {
		if e.GetName() == name {
			return e.GetValue()
		}
	}
	return 0
}
