package state

import (
	"hash/fnv"
	"slices"

	pb "squall/proto/squall/v1"
)

// maxConfirmed bounds the ends that an order confirms; the newest are kept.
const maxConfirmed = 256

// Order is a host's whole set: every task and probe that it is to have, the
// ends that it may forget, and the lever. Its index is the one at which the
// host's order last changed, so equal marks mean equal orders.
func (v *View) Order(host string) *pb.Order {
	o := &pb.Order{Epoch: v.epoch, Index: v.Mark(host).GetIndex(), Halt: v.halt, Rules: v.rules}
	o.ConfirmedDamage = confirmed(v.hosts.get(host))
	for _, r := range v.Runs() {
		v.orderRun(o, r, host)
	}
	o.Confirmed = append(o.Confirmed, v.hosts.get(host).GetStrays()...)
	o.Confirmed = o.Confirmed[max(0, len(o.Confirmed)-maxConfirmed):]
	return o
}

// recents are the hosts whose orders changed of late, so that who follows
// commands one by one need not look at every host there is. They never change.
type recents struct {
	// since is the index after which all of it is known.
	since uint64
	list  []reordered
}

type reordered struct {
	index uint64
	hosts []string
}

// maxRecent is how many commands back the changes of orders are known.
const maxRecent = 256

func (r recents) with(index uint64, hosts []string) recents {
	list := append(slices.Clip(r.list), reordered{index, hosts})
	if extra := len(list) - maxRecent; extra > 0 {
		r.since, list = list[extra-1].index, slices.Clone(list[extra:])
	}
	return recents{r.since, list}
}

// after are the hosts of changes after an index, with doubles. It is not ok
// where that is too long ago to be known.
func (r recents) after(index uint64) (hosts []string, ok bool) {
	if index < r.since {
		return nil, false
	}
	for i := len(r.list) - 1; i >= 0 && r.list[i].index > index; i-- {
		hosts = append(hosts, r.list[i].hosts...)
	}
	return hosts, true
}

// Mark is the (epoch, index) of a host's order.
func (v *View) Mark(host string) *pb.OrderMark {
	return &pb.OrderMark{Epoch: v.epoch, Index: max(v.floor, v.orders.get(host))}
}

// Reordered are the hosts whose orders changed after an index, sorted. all is
// set when everyone's did.
func (v *View) Reordered(after uint64) (hosts []string, all bool) {
	hosts, ok := v.recent.after(after)
	if !ok {
		for h, index := range v.orders.all() {
			if index > after {
				hosts = append(hosts, h)
			}
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts), v.floor > after
}

func (v *View) orderRun(o *pb.Order, r *pb.Run, host string) {
	mine := v.runs[r.GetId()].slots[host]
	for _, s := range r.GetPlan().GetSteps() {
		slot, status := mine[s.GetId()], r.GetSteps()[s.GetId()].GetHosts()[host]
		switch {
		case slot == nil, Ended(status) && (booting(r, s, host) || !Shown(status)):
		case Ended(status):
			o.Confirmed = append(o.Confirmed, &pb.StepKey{Run: r.GetId(), Step: s.GetId()})
		case v.hosts.get(host).GetConflict() != nil: // nobody knows which machine would carry it out
		case ordered(r.GetState()):
			o.Tasks = append(o.Tasks, task(r, s, slot))
		}
	}
	if active(r) {
		o.Probes = append(o.Probes, probeTasks(r, host)...)
	}
}

// ordered tells whether hosts hold the tasks of a run in this state. Tasks
// leave the order as soon as the run is ending: what is absent is reverted.
func ordered(s pb.RunState) bool {
	switch s {
	case pb.RunState_RUN_STATE_PREPARING, pb.RunState_RUN_STATE_FIRED, pb.RunState_RUN_STATE_HOLDING:
		return true
	}
	return false
}

func task(r *pb.Run, s *pb.PlannedStep, slot *pb.HostSlot) *pb.Task {
	t := &pb.Task{
		Run: r.GetId(), Step: s.GetId(), Fault: s.GetFault(), Workload: s.GetWorkload(),
		LeaseNanos:       r.GetPlan().GetLeaseNanos(),
		HoldWithoutLease: s.GetLostContact() == pb.LostContact_LOST_CONTACT_HOLD,
		NeedsToken:       s.GetBootTokens() > 0,
		Token:            r.GetSteps()[s.GetId()].GetTokenUnixNanos()[slot.GetHost()] != 0,
		BootLimitNanos:   s.GetBootLimitNanos(),
		NeverBack:        slot.GetNeverBack(),
		AddressSet:       s.GetAddressSet(),
		Seed:             seed(r.GetPlan().GetSeed(), s.GetId(), slot.GetHost()),
	}
	t0 := r.GetT0UnixNanos() // 0 until the run fires: hosts then know the lengths
	t.Fire = t0 != 0
	if t.Fire && !r.GetAdHoc() {
		t.ObeyUntilUnixNanos = t0
	}
	t.StartUnixNanos, t.EndUnixNanos = t0+slot.GetStartNanos(), t0+slot.GetEndNanos()
	t.DeadlineUnixNanos = t0 + slot.GetDeadlineNanos()
	return t
}

// seed gives each host of each step a stream of its own.
func seed(run uint64, step, host string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(step + "\x00" + host))
	return run ^ h.Sum64()
}

// probeTasks are a host's probes. It has its bit in their windows, and no use for
// the names of all the other hosts: with those, an order grows with the region,
// until no agent takes it any more.
func probeTasks(r *pb.Run, host string) []*pb.ProbeTask {
	var out []*pb.ProbeTask
	for _, p := range r.GetPlan().GetProbes() {
		if bit, ok := slices.BinarySearch(p.GetHosts(), host); ok {
			mine := &pb.PlannedProbe{Name: p.GetName(), Probe: p.GetProbe(), Control: p.GetControl(), Workload: p.GetWorkload()}
			out = append(out, &pb.ProbeTask{Run: r.GetId(), Probe: mine, Bit: uint32(bit)})
		}
	}
	return out
}
