package bpf

import (
	"fmt"

	"github.com/cilium/ebpf"

	pb "squall/proto/squall/v1"
)

// silenceCounters are in the order of the enum in silence.bpf.c.
var silenceCounters = []string{"dropped_in", "dropped_out", "exempt", "neighbour", "passed"}

// idleFlows is the size of the flow table when no cgroup is aimed at.
const idleFlows = 64

// Silence drops packets so that nobody is told, on every interface but
// loopback. Counters: dropped_in, dropped_out, exempt, neighbour (ARP and
// neighbour discovery) and passed; all count only while it acts.
func (k *Kit) Silence(op *pb.Silence) (Attachment, error) {
	ids, err := cgroupIDs(op.GetCgroups())
	if err != nil {
		return nil, fmt.Errorf("silence: %w", err)
	}
	coll, at, err := k.stand(silenceProgSilenceIn, silenceProgSilenceOut, func(slot int) (*ebpf.Collection, error) {
		return k.loadSilence(op, ids, slot)
	})
	if err != nil {
		return nil, fmt.Errorf("silence: %w", err)
	}
	return hold(coll, at, silenceCounters), nil
}

// loadSilence loads the programs and tells them what is aimed at.
func (k *Kit) loadSilence(op *pb.Silence, ids []uint64, slot int) (*ebpf.Collection, error) {
	x, err := exemptOf(op.GetExempt())
	if err != nil {
		return nil, err
	}
	spec, err := silenceSpec(op, x, ids, slot)
	if err != nil {
		return nil, err
	}
	coll, err := k.load(spec, gateOf(op.GetGate()), k.points.chain())
	if err != nil {
		return nil, err
	}
	if err := fillSilence(coll, op, x, ids); err != nil {
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
func fillSilence(coll *ebpf.Collection, op *pb.Silence, x exempt, ids []uint64) error {
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
