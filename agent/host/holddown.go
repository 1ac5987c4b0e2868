package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"squall/agent/host/bpf"
	pb "squall/proto/squall/v1"
)

// holdDown kills what comes alive in cgroups.
var holdDown = operation{
	ability: "hold.exec",
	program: &bpf.Trial{
		Engine: "raw tracepoint",
		Attach: func(l *bpf.Loader, g *pb.Gate) (bpf.Attachment, error) {
			return l.HoldDown(g, []uint64{bpf.Nobody})
		},
	},
	arm: armHoldDown,
	says: func(op *pb.Op) string {
		return "keep down what starts in " + strings.Join(op.GetHoldDown().GetCgroups(), " ")
	},
}

// heldDown is what holds cgroups down: a watch, and the exec hook where the
// kernel has one.
type heldDown struct {
	held  *held
	watch *watch
	hook  *bpf.Hold // nil without one
	// lived says that something was alive there when it was armed.
	lived bool
}

// armHoldDown catches respawns twice over: programs by the exec hook, and forks
// that execute nothing by the watch of their cgroup. The watch alone is enough
// where the kernel has no hook, but what it catches has lived a while.
func armHoldDown(_ context.Context, h *held) (mechanism, func(context.Context) error, error) {
	r, op := h.host, h.op.GetHoldDown()
	if r.loader == nil {
		return nil, nil, fmt.Errorf("%w: %w", r.why, ErrUnsupported)
	}
	w, err := r.newWatch(h, op)
	if err != nil {
		return nil, nil, err
	}
	down := &heldDown{held: h, watch: w}
	// A cgroup that doesn't exist yet is given to the hook when it appears.
	if ids := r.workloads.cgroups.ids(op.GetCgroups()); len(ids) > 0 {
		var hook bpf.Attachment
		hook, err = r.loader.HoldDown(h.op.GetGate(), ids)
		down.hook, _ = hook.(*bpf.Hold)
	}
	if errors.Is(err, bpf.ErrUnsupported) {
		r.log.Warn("no exec hook: respawns are caught late", "err", err)
		err = nil
	}
	if err != nil {
		return nil, nil, errors.Join(err, w.free())
	}
	for _, cgroup := range op.GetCgroups() {
		lives, err := r.workloads.cgroups.populated(cgroup)
		if err != nil {
			return nil, nil, errors.Join(err, w.free(), down.unhook())
		}
		down.lived = down.lived || lives
	}
	w.hook = down.hook
	w.start()
	return down, nil, nil
}

// Close implements mechanism.
func (d *heldDown) Close() error {
	d.watch.close()
	return d.unhook()
}

func (d *heldDown) unhook() error {
	if d.hook == nil {
		return nil
	}
	return d.hook.Close()
}

func (d *heldDown) renew(until time.Duration) {
	if d.hook != nil {
		d.hook.Renew(until)
	}
}

func (d *heldDown) died() <-chan struct{} { return d.watch.done }

// evidence shows that nothing lives, and what tried to. Where nothing ever did,
// that shows nothing.
func (d *heldDown) evidence(_ context.Context, open bool) ([]*pb.Evidence, error) {
	alive := 0
	for _, cgroup := range d.held.op.GetHoldDown().GetCgroups() {
		pids, err := d.held.host.workloads.cgroups.live(cgroup)
		if err != nil {
			return nil, err
		}
		alive += pids
	}
	var counters map[string]uint64
	if d.hook != nil {
		var err error
		if counters, err = d.hook.Counters(); err != nil {
			return nil, err
		}
	}
	respawns, longest := d.watch.caught()
	caught := max(uint64(respawns), counters["respawns_caught"])
	life := max(uint64(longest), counters["longest_life_nanos"])
	return []*pb.Evidence{
		{Name: "alive", Value: float64(alive), Holds: open && alive == 0, Fact: !d.lived && alive == 0 && caught == 0, Text: fmt.Sprintf("%d processes alive", alive)},
		{Name: "respawns", Value: float64(caught), Fact: true, Text: fmt.Sprintf("%d respawns caught", caught)},
		{Name: "longest_life_ns", Value: float64(life), Fact: true, Text: fmt.Sprintf("the longest-lived respawn ran for %s", time.Duration(life))},
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
