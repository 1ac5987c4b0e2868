package host

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	pb "squall/proto/squall/v1"
)

// probeLimit bounds each active probe of a fault's effect.
const probeLimit = 300 * time.Millisecond

// nowhere are addresses that belong to nobody (RFC 5737, RFC 3849), where a
// probe of a silence is sent: it is dropped before it leaves.
var nowhere = []netip.AddrPort{
	netip.MustParseAddrPort("192.0.2.1:9"), netip.MustParseAddrPort("[2001:db8::1]:9"),
}

// Evidence implements Host.
func (r *Real) Evidence(ctx context.Context, tag string, after bool) ([]*pb.Evidence, error) {
	if after {
		return r.cleanEvidence(ctx, tag)
	}
	var found []*pb.Evidence
	for _, h := range r.under(tag) {
		e, err := r.bites(ctx, h)
		if err != nil {
			return nil, fmt.Errorf("read evidence of %s: %w", tag, err)
		}
		found = append(found, e...)
	}
	return append(found, r.killEvidence(tag)...), nil
}

// bites shows what an attachment does: by its counters, by who lives, and by
// an active probe where there is one.
func (r *Real) bites(ctx context.Context, h *held) ([]*pb.Evidence, error) {
	before, err := h.counters()
	if err != nil {
		return nil, err
	}
	switch o := h.op.GetKind().(type) {
	case *pb.Op_Silence:
		return r.silenceEvidence(h, o.Silence, before)
	case *pb.Op_DropDns:
		return r.dnsEvidence(ctx, h, o.DropDns, before)
	case *pb.Op_HoldDown:
		return r.holdEvidence(h, o.HoldDown, before)
	default:
		_, gate := Gated(h.op)
		return counterEvidence(before, r.open(gate)), nil
	}
}

// counters reads an attachment; one without a hook has none.
func (h *held) counters() (map[string]uint64, error) {
	if h.attachment == nil {
		return nil, nil
	}
	return h.attachment.Counters()
}

// counterEvidence shows counters by name. They are facts of the mechanism: they
// hold for as long as it acts, whether or not anyone has called.
func counterEvidence(counters map[string]uint64, acts bool) []*pb.Evidence {
	var found []*pb.Evidence
	for _, name := range slices.Sorted(maps.Keys(counters)) {
		text := fmt.Sprintf("%s: %d", name, counters[name])
		if !acts {
			text += " (does not act now)"
		}
		found = append(found, &pb.Evidence{Name: name, Value: float64(counters[name]), Holds: acts, Text: text})
	}
	return found
}

// silenceEvidence sends a packet that is not exempt and sees it dropped. Only
// the silence of a whole host can be tried so.
func (r *Real) silenceEvidence(h *held, op *pb.Silence, before map[string]uint64) ([]*pb.Evidence, error) {
	acts := r.open(op.GetGate())
	if !acts || len(op.GetPorts()) > 0 || len(op.GetCgroups()) > 0 {
		return counterEvidence(before, acts), nil
	}
	sent := sendNowhere()
	now, err := h.counters()
	if err != nil {
		return nil, err
	}
	found := counterEvidence(now, acts)
	if sent == 0 {
		return found, nil // no route leaves this host: nothing can
	}
	dropped := now["dropped_out"] - before["dropped_out"]
	return append(found, &pb.Evidence{
		Name: "probe", Value: float64(dropped), Holds: dropped >= uint64(sent),
		Text: fmt.Sprintf("%d packets sent, %d dropped on the way out", sent, dropped),
	}), nil
}

// holdEvidence shows that nothing lives, and what tried to.
func (r *Real) holdEvidence(h *held, op *pb.HoldDown, counters map[string]uint64) ([]*pb.Evidence, error) {
	alive := 0
	for _, cgroup := range op.GetCgroups() {
		pids, err := r.workloads.cgroups.live(cgroup)
		if err != nil {
			return nil, err
		}
		alive += pids
	}
	respawns, longest := h.watch.caught()
	caught := max(uint64(respawns), counters["respawns_caught"])
	life := max(uint64(longest), counters["longest_life_nanos"])
	acts := r.open(op.GetGate())
	return []*pb.Evidence{
		{Name: "alive", Value: float64(alive), Holds: acts && alive == 0, Text: fmt.Sprintf("%d processes alive", alive)},
		{Name: "respawns", Value: float64(caught), Holds: acts, Text: fmt.Sprintf("%d respawns caught", caught)},
		{Name: "longest_life_ns", Value: float64(life), Holds: acts, Text: fmt.Sprintf("the longest-lived respawn ran for %s", time.Duration(life))},
	}, nil
}

// live counts processes that are not dead already.
func (c cgroups) live(cgroup string) (int, error) {
	alive, err := c.populated(cgroup)
	if err != nil || !alive {
		return 0, err
	}
	pids, err := c.pids(cgroup)
	return max(len(pids), 1), err
}

// killEvidence tells when the signals went out.
func (r *Real) killEvidence(tag string) []*pb.Evidence {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*pb.Evidence
	for t, k := range r.kills {
		if Under(t, tag) {
			found = append(found, k.evidence()...)
		}
	}
	return found
}

func (k *killing) evidence() []*pb.Evidence {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.first == 0 {
		return nil
	}
	text := fmt.Sprintf("%d workloads killed, %s after the instant, signals within %s",
		len(k.groups), max(k.first-k.planned, 0), k.last-k.first)
	if k.strays > 0 {
		text += fmt.Sprintf(", and %d undeclared processes", k.strays)
	}
	if k.denied != nil {
		text += fmt.Sprintf(" (warning: %v)", k.denied)
	}
	late := max(k.last-k.planned, 0)
	return []*pb.Evidence{
		{Name: "killed", Value: float64(k.last - k.first), Holds: true, Text: text},
		{Name: "last_kill_nanos", Value: float64(late), Holds: true, Text: fmt.Sprintf("the last signal left %s after the instant", late)},
	}
}
