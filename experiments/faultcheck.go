package experiments

import (
	"fmt"
	"net/netip"

	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

// checkFault looks at what a fault's own keys say together.
func (d *decoder) checkFault(e *pb.Experiment, path string, s *pb.Step) {
	name := FaultName(s.GetFault())
	if name == "" {
		return
	}
	body := path + "." + name
	d.checkMagnitudes(path, body, s)
	switch kind := s.GetFault().GetKind().(type) {
	case *pb.Fault_DnsFail:
		d.checkAnswers(body+".answer", kind.DnsFail.GetAnswer())
	case *pb.Fault_NetDelay:
		d.checkPeers(e, body+".to", kind.NetDelay.GetTo())
	case *pb.Fault_LoadFlood:
		d.checkFlood(body+".rate", kind.LoadFlood.GetRate())
	case *pb.Fault_PowerOff:
		d.checkWayBack(body+".back", kind.PowerOff.GetBack())
	}
}

// checkMagnitudes holds `ramp` against the magnitudes: one without the other means nothing.
func (d *decoder) checkMagnitudes(path, body string, s *pb.Step) {
	m := s.GetFault().ProtoReflect()
	m = m.Get(m.WhichOneof(faultKinds())).Message()
	moves := false
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.Message() == nil || fd.IsList() || fd.IsMap() {
			return true
		}
		ramp, ok := v.Message().Interface().(*pb.Ramp)
		if !ok {
			return true
		}
		at := body + "." + spelling(fd)
		if ramp.GetFrom() != ramp.GetTo() {
			moves = true
			if s.GetRamp() == nil && !d.wrong[path+".ramp"] {
				d.badPath(at, fmt.Sprintf("%s: %s moves, but not how fast", spelling(fd), quoted(quantity.FormatRamp(ramp))), "add `ramp:` with the time from the first value to the last")
			}
		} else if ramp.GetFrom() == 0 {
			d.badPath(at, fmt.Sprintf("%s: %s does nothing", spelling(fd), quoted(quantity.FormatRamp(ramp))), "write more than 0, or two values such as "+nonZero(ramp))
		}
		return true
	})
	if s.GetRamp() != nil && !moves && !d.anyWrongBelow(body) {
		d.badPath(path+".ramp", `"ramp" has nothing that moves`, "write a magnitude as two values, such as 5% -> 95%, or take the ramp out")
	}
}

func nonZero(r *pb.Ramp) string {
	if r.GetUnit() == pb.Unit_UNIT_SPAN {
		return "0ms -> 500ms"
	}
	return "0% -> 50%"
}

// anyWrongBelow says whether a field below path has a problem already.
func (d *decoder) anyWrongBelow(path string) bool {
	for wrong := range d.wrong {
		if len(wrong) > len(path) && wrong[:len(path)] == path {
			return true
		}
	}
	return false
}

func (d *decoder) checkAnswers(path string, mix *pb.AnswerMix) {
	if mix == nil || d.anyWrongBelow(path) {
		return
	}
	sum := uint64(0)
	mix.ProtoReflect().Range(func(_ protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		sum += uint64(v.Message().Interface().(*pb.Share).GetPpm())
		return true
	})
	if sum != 1_000_000 {
		d.badPath(path, fmt.Sprintf("the answers sum to %s", quantity.FormatShare(uint32(sum))), "let them sum to 100%; what else a failing query gets stands here too")
	}
}

func (d *decoder) checkPeers(e *pb.Experiment, path string, to *pb.Peers) {
	if to == nil {
		return
	}
	if len(to.GetZone())+len(to.GetRoom())+len(to.GetHost())+len(to.GetPrefix()) == 0 && !d.anyWrongBelow(path) {
		d.badPath(path, "to: names no peer", "add zone, room, host or prefix, or leave `to` out for every peer")
	}
	d.checkZoneRefs(e, path+".zone", to.GetZone())
	for i, prefix := range to.GetPrefix() {
		d.checkPrefix(fmt.Sprintf("%s.prefix[%d]", path, i), prefix)
	}
}

// checkPrefix accepts an address, or a prefix without bits beyond its length.
func (d *decoder) checkPrefix(path, text string) {
	if text == "" {
		return
	}
	if _, err := netip.ParseAddr(text); err == nil {
		return
	}
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		d.badPath(path, fmt.Sprintf("%s is neither an address nor a prefix", quoted(text)), "write one such as 10.20.0.0/16 or 2001:db8::/32")
	case prefix.Masked() != prefix:
		d.badPath(path, fmt.Sprintf("prefix %s has bits beyond its length", quoted(text)), "write "+prefix.Masked().String())
	}
}

func (d *decoder) checkFlood(path string, r *pb.Rate) {
	unit, values := rateUnit(r)
	switch {
	case unit == "bits" || unit == "bytes":
		d.badPath(path, fmt.Sprintf("rate: %s does not count calls", quoted(quantity.FormatRate(r))), "write calls a second, such as 500/s, or times the base, such as 20x")
	case len(values) > 0 && values[0] == 0:
		d.badPath(path, fmt.Sprintf("rate: %s does nothing", quoted(quantity.FormatRate(r))), "write more than 0")
	}
}

func (d *decoder) checkWayBack(path string, b *pb.WayBack) {
	if b.GetStart() != pb.BackStart_BACK_START_NONE {
		return
	}
	if b.GetSpread() != nil || b.GetAtOnce() != 0 || b.GetNever() != nil || b.GetBootLimit() != nil {
		d.badPath(path, "back: start is none, so there is nothing to pace", "write `back: none` alone, or let workloads start")
	}
}
