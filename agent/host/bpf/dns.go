package bpf

import (
	"fmt"

	"github.com/cilium/ebpf"

	pb "squall/proto/squall/v1"
)

// dnsCounters are in the order of the enum in dns.bpf.c.
var dnsCounters = []string{"queries_dropped", "queries_passed", "answers_dropped"}

// wholePPM is a share of all queries.
const wholePPM = 1_000_000

// DropDNS lets lookups vanish, on loopback too, where stub resolvers listen. ids
// are those of the cgroups that it is aimed at.
// Counters: queries_dropped, queries_passed, answers_dropped.
//
// Queries vanish on their way out. Answers on their way in are dropped too
// when every query of the host fails. A smaller share is decided once, at a
// query's first hop: what a stub resolver that is alone in its cgroup sends
// upstream is let through, for its client's query was decided on loopback.
func (l *Loader) DropDNS(g *pb.Gate, op *pb.DropDNS, ids ...uint64) (Attachment, error) {
	if err := known(op.GetCgroups(), ids); err != nil {
		return nil, fmt.Errorf("drop DNS: %w", err)
	}
	s, err := l.dnsPair(op, ids)
	if err != nil {
		return nil, fmt.Errorf("drop DNS: %w", err)
	}
	return l.enter(s, gateOf(g), dnsCounters)
}

// dnsPair finds or loads the programs. Those that drop all lookups of a host
// remember nothing, and can be used again.
func (l *Loader) dnsPair(op *pb.DropDNS, ids []uint64) (*programPair, error) {
	s := programPair{in: dnsProgDnsIn, out: dnsProgDnsOut}
	if len(ids) == 0 && op.GetSharePpm() == wholePPM {
		s.shape = shapeOf(&pb.DropDNS{SharePpm: wholePPM}) // of all lookups, the seed chooses none
	}
	return l.take(s, func(slot int) (*ebpf.Collection, error) { return l.loadDNS(op, ids, slot) })
}

// loadDNS loads the programs and tells them whose queries fail, and how many.
func (l *Loader) loadDNS(op *pb.DropDNS, ids []uint64, slot int) (*ebpf.Collection, error) {
	spec, err := loadDns()
	if err != nil {
		return nil, fmt.Errorf("read the programs: %w", err)
	}
	if err := aim(spec, ids); err != nil {
		return nil, err
	}
	err = setVars(spec, map[string]any{
		dnsVarNextSlot: uint32(slot + 1), dnsVarSharePpm: op.GetSharePpm(), dnsVarSeed: op.GetSeed(),
	})
	if err != nil {
		return nil, err
	}
	coll, err := l.load(spec, l.dispatcher.chain())
	if err != nil {
		return nil, err
	}
	if err := fill(coll.Maps[dnsMapCgroups], ids); err != nil {
		coll.Close()
		return nil, err
	}
	return coll, nil
}
