package state

import (
	"slices"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// maxOpen bounds the steps that a host is remembered to have left something of.
// Past it the newest are not told apart: the host has not been shown clean.
const maxOpen = 256

// settle keeps what a host reported of a step's end: residue until a clean
// report comes, whatever becomes of the run. It tells whether the step is shown
// clean, so that the host may forget it.
func (t *change) settle(s *pb.StepStatus) (clean bool) {
	if !Ended(s) {
		return false
	}
	if len(s.GetResidue()) > 0 {
		t.open(s.GetHost(), &pb.OpenStep{Run: s.GetRun(), Step: s.GetStep(), Residue: s.GetResidue()})
		return false
	}
	t.close(s.GetHost(), s.GetRun(), s.GetStep())
	return true
}

// open remembers that a step was not shown clean on a host.
func (t *change) open(host string, o *pb.OpenStep) {
	known := t.hosts.get(host)
	if known == nil {
		return
	}
	o.SinceUnixNanos = t.last
	list := slices.Clone(known.GetOpen())
	switch i := openAt(known, o.GetRun(), o.GetStep()); {
	case i >= 0 && slices.Equal(list[i].GetResidue(), o.GetResidue()):
		return
	case i >= 0:
		o.SinceUnixNanos = list[i].GetSinceUnixNanos()
		list[i] = o
	case len(list) < maxOpen:
		list = append(list, o)
		t.tellLate(host, o)
	default:
		return
	}
	t.editHost(host).Open = list
}

// close forgets a step that was shown clean.
func (t *change) close(host, run, step string) {
	i := openAt(t.hosts.get(host), run, step)
	if i < 0 {
		return
	}
	h := t.editHost(host)
	h.Open = slices.Delete(slices.Clone(h.GetOpen()), i, i+1)
}

func openAt(h *pb.Registered, run, step string) int {
	return slices.IndexFunc(h.GetOpen(), func(o *pb.OpenStep) bool {
		return o.GetRun() == run && o.GetStep() == step
	})
}

// leaveOpen remembers the hosts of a run that is done whose end nobody has heard
// of: the run is forgotten one day, and they are not clean.
func (t *change) leaveOpen(r *pb.Run) {
	for _, u := range unheard(r) {
		t.open(u.slot.GetHost(), &pb.OpenStep{Run: r.GetId(), Step: u.step})
	}
}

// stray takes the end of a step of a run that is no longer kept. A clean one is
// confirmed, since the host would report it for ever; residue stays the host's.
func (t *change) stray(s *pb.StepStatus) {
	h := t.hosts.get(s.GetHost())
	if h == nil || !t.settle(s) {
		return
	}
	key := &pb.StepKey{Run: s.GetRun(), Step: s.GetStep()}
	if slices.ContainsFunc(h.GetStrays(), func(k *pb.StepKey) bool { return proto.Equal(k, key) }) {
		return
	}
	h = t.editHost(s.GetHost())
	h.Strays = append(slices.Clone(h.GetStrays()), key)
	h.Strays = h.Strays[max(0, len(h.Strays)-maxStrays):]
	t.reorder(s.GetHost())
}
