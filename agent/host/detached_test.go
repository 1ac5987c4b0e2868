package host_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"squall/agent/host"
	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// TestDetachedProgramIsTold: somebody takes our programs off an interface while the
// fault holds. The next look finds nothing that holds, and its death is told.
func TestDetachedProgramIsTold(t *testing.T) {
	for ability, op := range map[string]*pb.Op{
		"silence":    {Kind: &pb.Op_Silence{Silence: &pb.Silence{}}},
		"delay.line": {Kind: &pb.Op_DelayLine{DelayLine: &pb.DelayLine{DelayNanos: 1e6}}},
	} {
		t.Run(ability, func(t *testing.T) {
			hosttest.Require(t, ability)
			pair, base := hosttest.NewPair(t), hosttest.NewCgroup(t)
			err := pair.A.Do(func() error {
				h, err := host.Open(&pb.HostConfig{}, host.Options{Base: base})
				if err != nil {
					return err
				}
				defer h.Close()
				op.Tag, op.Gate = "squall/run/step/net", &pb.Gate{EndBootNanos: int64(h.Boot() + time.Minute), IgnoreLease: true}
				do(t, h, op)
				if err := takeOff("eth0"); err != nil {
					return err
				}
				seen, err := h.Evidence(t.Context(), op.GetTag())
				if err != nil {
					return err
				}
				for _, e := range seen {
					if e.GetHolds() {
						t.Errorf("it is said to hold: %v", e)
					}
				}
				select {
				case d := <-h.Died():
					if d.Tag != op.GetTag() || !strings.Contains(d.Why, "on eth0: detached by somebody else") {
						t.Errorf("told: %+v", d)
					}
				case <-time.After(10 * time.Second):
					t.Errorf("its death is not told; evidence: %v", seen)
				}
				do(t, h, detach(op.GetTag()))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// takeOff detaches all programs on the way out of an interface.
func takeOff(device string) error {
	i, err := net.InterfaceByName(device)
	if err != nil {
		return err
	}
	found, err := link.QueryPrograms(link.QueryOptions{Target: i.Index, Attach: ebpf.AttachTCXEgress})
	if err != nil || len(found.Programs) == 0 {
		return fmt.Errorf("%d programs on %s: %w", len(found.Programs), device, err)
	}
	for _, p := range found.Programs {
		id, _ := p.LinkID()
		l, err := link.NewFromID(id)
		if err != nil {
			return err
		}
		if err := l.Detach(); err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}
