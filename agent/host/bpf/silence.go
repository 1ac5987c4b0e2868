package bpf

import (
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// silenceCounters are in the order of the enum in silence.bpf.c.
var silenceCounters = []string{"dropped_in", "dropped_out", "exempt", "neighbour", "passed"}

const (
	// idleFlows is the size of the flow table when no cgroup is aimed at.
	idleFlows = 64
	// maxFlows leaves as much room for flows that are learned, of 65,536 in all.
	maxFlows = 32768
)

// Flow is a flow of a workload; addresses are v4, v6, or v4 within v6.
type Flow struct {
	Local, Remote netip.AddrPort
	Proto         uint32
}

// flowKey is a flow as programs have it.
type flowKey struct {
	Local, Remote         [16]byte
	LocalPort, RemotePort [2]byte
	Proto                 uint32
}

func (f Flow) key() flowKey {
	return flowKey{
		f.Local.Addr().As16(), f.Remote.Addr().As16(),
		netPort(f.Local.Port()), netPort(f.Remote.Port()), f.Proto,
	}
}

// Silence drops packets so that nobody is told, on every interface but
// loopback. Where cgroups are aimed at, ids are theirs, and flows are known as
// theirs; it learns others as they send. Counters: dropped_in, dropped_out, exempt, neighbour (ARP and
// neighbour discovery) and passed; all count only while it acts.
func (l *Loader) Silence(g *pb.Gate, op *pb.Silence, ids []uint64, flows ...Flow) (Attachment, error) {
	if err := known(op.GetCgroups(), ids); err != nil {
		return nil, fmt.Errorf("silence: %w", err)
	}
	s, err := l.silencePair(op, ids, flows)
	if err != nil {
		return nil, fmt.Errorf("silence: %w", err)
	}
	return l.enter(s, gateOf(g), silenceCounters)
}

// silencePair finds or loads the programs. Those of a whole host remember
// nothing, and can be used again.
func (l *Loader) silencePair(op *pb.Silence, ids []uint64, flows []Flow) (*programPair, error) {
	x, err := exemptOf(op.GetExempt())
	if err != nil {
		return nil, err
	}
	if err := l.exempt(x.servers...); err != nil {
		return nil, err
	}
	s := programPair{in: silenceProgSilenceIn, out: silenceProgSilenceOut}
	if len(ids) == 0 && len(op.GetPorts()) == 0 {
		alike := proto.CloneOf(op)
		if x := alike.GetExempt(); x != nil {
			x.Servers = nil // who is exempt is not the programs' own
		}
		s.shape = shapeOf(alike)
	}
	return l.take(s, func(slot int) (*ebpf.Collection, error) { return l.loadSilence(op, x, ids, flows, slot) })
}

// loadSilence loads the programs and tells them what is aimed at.
func (l *Loader) loadSilence(op *pb.Silence, x exempt, ids []uint64, flows []Flow, slot int) (*ebpf.Collection, error) {
	spec, err := silenceSpec(op, x, ids, slot)
	if err != nil {
		return nil, err
	}
	coll, err := l.load(spec, l.dispatcher.chain())
	if err != nil {
		return nil, err
	}
	if err := fillSilence(coll, op, x, ids, flows); err != nil {
		coll.Close()
		return nil, err
	}
	return coll, nil
}

// silenceSpec sizes maps and sets constants.
func silenceSpec(op *pb.Silence, x exempt, ids []uint64, slot int) (*ebpf.CollectionSpec, error) {
	spec, err := loadSilence()
	if err != nil {
		return nil, fmt.Errorf("read the programs: %w", err)
	}
	sized(spec, silenceMapPorts, len(op.GetPorts()))
	if len(ids) == 0 {
		sized(spec, silenceMapFlows, idleFlows)
	}
	if err := aim(spec, ids); err != nil {
		return nil, err
	}
	if err := x.declare(spec); err != nil {
		return nil, err
	}
	return spec, setVars(spec, map[string]any{
		silenceVarNextSlot:   uint32(slot + 1),
		silenceVarLinkLayer:  flag(op.GetL2()),
		silenceVarPortScoped: flag(len(op.GetPorts()) > 0 || len(ids) > 0),
	})
}

// fillSilence fills the maps before anything is attached.
func fillSilence(coll *ebpf.Collection, op *pb.Silence, x exempt, ids []uint64, flows []Flow) error {
	var keys []flowKey
	for _, f := range flows[:min(len(flows), maxFlows)] {
		keys = append(keys, f.key())
	}
	if err := fill(coll.Maps[silenceMapFlows], keys); err != nil {
		return err
	}
	var ports [][2]byte
	for _, p := range op.GetPorts() {
		ports = append(ports, netPort(uint16(p)))
	}
	if err := fill(coll.Maps[silenceMapPorts], ports); err != nil {
		return err
	}
	if err := fill(coll.Maps[silenceMapCgroups], ids); err != nil {
		return err
	}
	return x.apply(coll)
}
