package fleet

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

const (
	// maxReport is how many steps of one host are taken at a time, and
	// maxUnrecorded how many are remembered until the state knows them.
	maxReport, maxUnrecorded = 4096, 4096
	// maxBatch is how many windows one agent may send at a time.
	maxBatch = hostCount
	// maxSets is how many address sets an agent may wait for.
	maxSets = 256
	// rememberBatches is how many batch numbers a session remembers.
	rememberBatches = 1024
)

// ping answers with cluster time, and renews the lease if a quorum stands
// behind this server and it has seen what the agent has.
func (s *session) ping(p *pb.Ping) {
	pong := &pb.Pong{Seq: p.GetSeq(), SentBootNanos: p.GetSentBootNanos()}
	s.mu.Lock()
	s.seen, s.trip = later(s.seen, p.GetOrder()), p.GetRoundTripNanos()
	s.mu.Unlock()
	pong.WhyNot = s.whyNot()
	now, ok := s.fleet.cfg.Time()
	if !ok && pong.WhyNot == "" {
		pong.WhyNot = "this server does not know cluster time yet"
	}
	if ok {
		pong.ClusterUnixNanos, pong.UncertaintyNanos, pong.Term = now.Unix, int64(now.Doubt), now.Term
		pong.SlewedNanos, pong.SlewPpm = int64(now.Slewed), now.SlewPPM
	}
	pong.Renewed = pong.WhyNot == ""
	s.out.setPong(pong)
}

// whyNot says why a lease can't be renewed, or nothing.
func (s *session) whyNot() string {
	v := s.fleet.cfg.View()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hello.GetStandby() {
		return "this is the standby stream"
	}
	if s.behind(v) {
		return fmt.Sprintf("this server is at %d/%d, behind the host's order %d/%d",
			v.Epoch(), v.Index(), s.seen.GetEpoch(), s.seen.GetIndex())
	}
	age, ok := s.fleet.cfg.Confirmed()
	if !ok {
		return "no leader has confirmed this server yet"
	}
	if age >= s.lease/3 {
		return fmt.Sprintf("the last word from a leader is %s old", age.Round(time.Millisecond))
	}
	return ""
}

// report takes what the host says of its own steps.
func (s *session) report(r *pb.Report) {
	v := s.fleet.cfg.View()
	for _, st := range r.GetSteps()[:min(len(r.GetSteps()), maxReport)] {
		trim(st)
		st.Host = s.host // whatever it says
		known := v.Run(st.GetRun()).GetSteps()[st.GetStep()].GetHosts()[s.host]
		s.remember(known, st)
		if !proto.Equal(known, st) {
			s.fleet.steps.add(st)
		}
	}
	s.dropRecorded(v)
	s.fleet.tell()
}

// remember keeps what the host said of a step, in short, until it is committed.
func (s *session) remember(known, st *pb.StepStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, said := s.steps[keyOf(st)]
	if !said && (recorded(known, st) || len(s.steps) >= maxUnrecorded) {
		return
	}
	short := &pb.StepStatus{
		Run: st.GetRun(), Step: st.GetStep(), Host: st.GetHost(), State: st.GetState(), Cause: st.GetCause(), Residue: st.GetResidue(),
	}
	size := s.unrecorded + proto.Size(short) - proto.Size(before)
	if size > hostBytes { // what it said before is not true any more
		delete(s.steps, keyOf(st))
		s.unrecorded -= proto.Size(before)
		return
	}
	s.steps[keyOf(st)], s.unrecorded = short, size
}

// dropRecorded forgets what the state has learnt since.
func (s *session) dropRecorded(v *state.View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, st := range s.steps {
		if recorded(v.Run(k.run).GetSteps()[k.step].GetHosts()[k.host], st) {
			delete(s.steps, k)
			s.unrecorded -= proto.Size(st)
		}
	}
}

// recorded tells whether the state knows what a host says of a step.
func recorded(known, said *pb.StepStatus) bool {
	return known.GetState() >= said.GetState() && slices.Equal(known.GetResidue(), said.GetResidue())
}

// takeWindows takes readings. The host's zone and its bit come from what the
// machine knows, not from what the agent says.
func (s *session) takeWindows(b *pb.Windows) {
	var own []*pb.Window
	for _, w := range b.GetWindows()[:min(len(b.GetWindows()), maxBatch)] {
		bit, known, wait := s.bit(w)
		if wait {
			return // not known here yet: the batch comes again
		}
		if known {
			w.Zone, w.Hosts = s.zoneIn(w.GetRun()), bitOf(bit)
			own = append(own, w)
		}
	}
	again := b.GetAgain() || s.sawBatch(b.GetBatch())
	s.fleet.windows.add(s.host, own, again, func() { s.out.ack(b.GetBatch()) })
}

// bit is the host's place in the list of hosts that run a window's probe: as
// its order says, which may be ahead of this server's state, or as the state
// does, of a run that has left the order. A server that is behind has to wait.
func (s *session) bit(w *pb.Window) (bit int, known, wait bool) {
	v := s.fleet.cfg.View()
	s.mu.Lock()
	ordered, ok := s.probes[probeKey{w.GetRun(), w.GetProbe()}]
	behind := s.behind(v)
	s.mu.Unlock()
	if ok {
		return int(ordered), true, false
	}
	for _, p := range v.Run(w.GetRun()).GetPlan().GetProbes() {
		if p.GetName() == w.GetProbe() {
			bit, known = slices.BinarySearch(p.GetHosts(), s.host)
			return bit, known, false
		}
	}
	return 0, false, behind
}

// zoneIn is the host's zone in a run: as it was planned, whatever the host says
// since. Of a run that this server has not heard of it is what the host says.
func (s *session) zoneIn(run string) string {
	hosts := s.fleet.cfg.View().Run(run).GetPlan().GetHosts()
	i, ok := slices.BinarySearchFunc(hosts, s.host, func(h *pb.PlannedHost, name string) int { return strings.Compare(h.GetName(), name) })
	if ok {
		return hosts[i].GetZone()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.zone
}

// sawBatch remembers a batch and tells whether it came before.
func (s *session) sawBatch(batch uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, saw := s.batches[batch]
	if len(s.batches) >= rememberBatches {
		clear(s.batches) // at worst a window travels merged twice, and is dropped
	}
	s.batches[batch] = struct{}{}
	return saw
}

// lookUpSets answers with the address sets that runs under way name. An order may
// be ahead of this server's state, and so what is asked for because of it: that
// is sent as soon as it is known.
func (s *session) lookUpSets(n *pb.NeedSets) {
	s.mu.Lock()
	s.wanted = n.GetDigest()[:min(len(n.GetDigest()), maxSets)]
	s.mu.Unlock()
	s.sendSets(s.fleet.cfg.View())
}

// sendSets sends those address sets that a view has of what the agent waits for.
func (s *session) sendSets(v *state.View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.wanted) == 0 {
		return
	}
	var missing []string
	for _, digest := range s.wanted {
		if set := setOf(v, digest); set != nil {
			s.out.addSet(set)
		} else {
			missing = append(missing, digest)
		}
	}
	s.wanted = missing
}

// setOf is an address set of a run that is under way, nil where none has it.
func setOf(v *state.View, digest string) *pb.AddressSet {
	for _, r := range v.Active() {
		for _, set := range r.GetPlan().GetAddressSets() {
			if set.GetDigest() == digest {
				return set
			}
		}
	}
	return nil
}

// describe takes a new description of the host.
func (s *session) describe(h *pb.Host) error {
	if err := s.check(h); err != nil {
		return err
	}
	s.mu.Lock()
	s.hello.Host, s.zone = h, h.GetZone()
	standby := s.hello.GetStandby()
	s.mu.Unlock()
	if !standby {
		s.fleet.announce(s)
	}
	return nil
}
