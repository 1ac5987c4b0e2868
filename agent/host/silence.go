package host

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"squall/agent/host/bpf"
	pb "squall/proto/squall/v1"
)

// silence drops packets so that nobody is told.
var silence = operation{
	ability: "silence",
	program: &bpf.Trial{
		Engine: "tcx", Port: 9, Counter: "dropped_out",
		Attach: func(l *bpf.Loader, g *pb.Gate) (bpf.Attachment, error) { return l.Silence(g, &pb.Silence{}, nil) },
	},
	ready: func(l *bpf.Loader, exempt *pb.Exempt) error {
		return bpf.Warm(l.Silence(&pb.Gate{}, &pb.Silence{Exempt: exempt}, nil))
	},
	arm:  armSilence,
	says: saySilence,
}

func saySilence(op *pb.Op) string {
	s := op.GetSilence()
	switch {
	case len(s.GetPorts()) > 0 || len(s.GetCgroups()) > 0:
		return fmt.Sprintf("silence ports %v and the flows of %s", s.GetPorts(), strings.Join(s.GetCgroups(), " "))
	case s.GetL2():
		return "silence every interface, neighbour discovery too"
	}
	return "silence every interface"
}

// armSilence tells the kernel which flows workloads have, as long as they live:
// one that is idle until its packets are gone would be heard before it is known.
func armSilence(_ context.Context, h *held) (mechanism, func(context.Context) error, error) {
	op := h.op.GetSilence()
	scope, err := h.scope(op.GetCgroups())
	if err != nil {
		return nil, nil, err
	}
	// The silence of workloads goes with their death, which shows itself: nobody
	// may have called.
	dropped := effect{
		name: "dropped", of: []string{"dropped_in", "dropped_out"},
		shared: len(op.GetPorts())+len(op.GetCgroups()) > 0,
	}
	flows, err := h.host.workloads.cgroups.flows(op.GetCgroups())
	if err != nil {
		return nil, nil, err
	}
	return h.aimed(scope, dropped,
		func(l *bpf.Loader) (bpf.Attachment, error) {
			return l.Silence(h.op.GetGate(), op, scope.ids(), flows...)
		},
		func(ctx context.Context, a bpf.Attachment, before map[string]uint64) (*pb.Evidence, error) {
			return tryNowhere(op, a, before)
		})
}

// nowhere are addresses that belong to nobody (RFC 5737, RFC 3849), where a
// probe of a silence is sent: it is dropped before it leaves.
var nowhere = []netip.AddrPort{
	netip.MustParseAddrPort("192.0.2.1:9"), netip.MustParseAddrPort("[2001:db8::1]:9"),
}

// tryNowhere sends a packet that is not exempt and sees it dropped. Only the
// silence of a whole host can be tried so, and only where a route leaves it.
func tryNowhere(op *pb.Silence, a bpf.Attachment, before map[string]uint64) (*pb.Evidence, error) {
	if len(op.GetPorts()) > 0 || len(op.GetCgroups()) > 0 {
		return nil, nil
	}
	sent := sendNowhere()
	now, err := a.Counters()
	if err != nil || sent == 0 {
		return nil, err
	}
	dropped := now["dropped_out"] - before["dropped_out"]
	return &pb.Evidence{
		Name: "probe", Value: float64(dropped), Holds: dropped >= uint64(sent),
		Text: fmt.Sprintf("%d packets sent, %d dropped on the way out", sent, dropped),
	}, nil
}
