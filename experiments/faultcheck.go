package experiments

import (
	"fmt"
	"net/netip"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/experiments/fault"
	"squall/experiments/internal/spell"
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
	kind := fault.Of(s.GetFault())
	if kind == nil {
		return
	}
	for _, wrong := range kind.Check(s.GetFault()) {
		if at := body + "." + wrong.Field; !d.anyWrongBelow(at) {
			d.badPath(at, wrong.Message, wrong.Fix)
		}
	}
	if peers := fault.PeersOf(s.GetFault()); peers != nil {
		d.checkPeers(e, body+"."+peers.Field, peers.Peers)
	}
}

// checkMagnitudes holds `ramp` against the magnitudes: one without the other means nothing.
func (d *decoder) checkMagnitudes(path, body string, s *pb.Step) {
	m := fault.Body(s.GetFault()).ProtoReflect()
	moves := false
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.Message() == nil || fd.IsList() || fd.IsMap() {
			return true
		}
		ramp, ok := v.Message().Interface().(*pb.Ramp)
		if !ok {
			return true
		}
		at := body + "." + spell.Key(fd)
		if ramp.GetFrom() != ramp.GetTo() {
			moves = true
			if s.GetRamp() == nil && !d.wrong[path+".ramp"] {
				d.badPath(at, fmt.Sprintf("%s: %s moves, but not how fast", spell.Key(fd), quoted(quantity.FormatRamp(ramp))), "add `ramp:` with the time from the first value to the last")
			}
		} else if ramp.GetFrom() == 0 {
			d.badPath(at, fmt.Sprintf("%s: %s does nothing", spell.Key(fd), quoted(quantity.FormatRamp(ramp))), "write more than 0, or two values such as "+nonZero(ramp))
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
		if rest, ok := strings.CutPrefix(wrong, path); ok && rest != "" && (rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

func (d *decoder) checkPeers(e *pb.Experiment, path string, to *pb.Peers) {
	if len(to.GetZone())+len(to.GetRoom())+len(to.GetHost())+len(to.GetPrefix()) == 0 && !d.anyWrongBelow(path) {
		d.badPath(path, "to: names no peer", "add zone, room, host or prefix, or leave `to` out for every peer")
	}
	d.checkZoneRefs(e, path+".zone", to.GetZone())
	d.checkPrefixes(path, to)
}

func (d *decoder) checkPrefixes(path string, to *pb.Peers) {
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
