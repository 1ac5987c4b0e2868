package judge

import (
	"squall/experiments/fault"
	pb "squall/proto/squall/v1"
)

// darkness is when hosts are dark by plan: a step of the run takes the whole
// host away, so that nobody expects it to speak.
type darkness struct {
	hosts map[string][]stretch
	// servers are the stretches of hosts that run a control server.
	servers [][]stretch
}

// darkOf reads it from the run's plan, and from what hosts said of their return.
func darkOf(run *pb.Run) *darkness {
	d := &darkness{hosts: map[string][]stretch{}}
	if run.GetT0UnixNanos() == 0 {
		return d
	}
	for _, step := range run.GetPlan().GetSteps() {
		if !darkens(step) {
			continue
		}
		hosts := run.GetSteps()[step.GetId()].GetHosts()
		for _, slot := range step.GetSlots() {
			d.hosts[slot.GetHost()] = append(d.hosts[slot.GetHost()], darkFor(run, step, slot, hosts[slot.GetHost()]))
		}
	}
	for _, h := range run.GetPlan().GetHosts() {
		if dark := d.hosts[h.GetName()]; h.GetServer() && dark != nil {
			d.servers = append(d.servers, dark)
		}
	}
	return d
}

// darkens tells whether a step takes whole hosts away.
func darkens(step *pb.PlannedStep) bool {
	k := fault.Of(step.GetFault())
	return k != nil && k.Harm == fault.Darkens && len(step.GetWorkload()) == 0
}

// darkFor is when a step keeps a host dark: to when the host is ready again,
// or its boot limit after its power came back, which may be long after its end
// where hosts return one by one.
func darkFor(run *pb.Run, step *pb.PlannedStep, slot *pb.HostSlot, s *pb.StepStatus) stretch {
	t0 := run.GetT0UnixNanos()
	dark := stretch{start: t0 + slot.GetStartNanos(), end: t0 + slot.GetEndNanos()}
	if slot.GetNeverBack() {
		dark.end = t0 + max(slot.GetDeadlineNanos(), slot.GetEndNanos())
	}
	switch left := markAt(s, pb.StepState_STEP_STATE_REVERTED); {
	case left != 0:
		dark.end = left
	case s.GetState() == pb.StepState_STEP_STATE_RETURNING: // it waits for its turn to boot
		dark.end = t0 + max(slot.GetDeadlineNanos(), slot.GetEndNanos())
	}
	switch {
	case s.GetReadyAgain() && s.GetReadyUnixNanos() != 0:
		dark.end = s.GetReadyUnixNanos()
	case !s.GetReadyAgain():
		dark.end += step.GetBootLimitNanos()
	}
	return dark
}

// host tells whether a host need not have spoken at an instant. After it is
// back its first attempt has the time that any first attempt has.
func (d *darkness) host(name string, s *source, at int64) bool { return covers(d.hosts[name], s, at) }

// serversDown is how many servers need not have spoken at an instant.
func (d *darkness) serversDown(s *source, at int64) int {
	n := 0
	for _, dark := range d.servers {
		if covers(dark, s, at) {
			n++
		}
	}
	return n
}

func covers(dark []stretch, s *source, at int64) bool {
	for _, d := range dark {
		if d.start <= at && at < s.earlyUntil(d.end) {
			return true
		}
	}
	return false
}
