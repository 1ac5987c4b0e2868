package fault

import (
	"squall/experiments/internal/spell"
	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

var netDelay = Kind{
	Name:    "net.delay",
	Example: "--zone zone-b --delay 40ms --to.zone zone-a,zone-c --for 30s",
	Begins:  "Packets towards the peers, or from them, are held back, each by the same time.",
	Ends:    "Packets pass undelayed; those that are still held leave at once.",
	Needs:   []string{"delay.line"},
	Harm:    Degrades,
	Narrows: map[string]string{
		"workload": "packets are held on the interfaces of the whole host, whoever sends them",
	},
	Check: noCheck,
	Peers: func(f *pb.Fault) *Peers {
		if to := f.GetNetDelay().GetTo(); to != nil {
			return &Peers{"to", to}
		}
		return nil
	},
	Return: backAtOnce,
	OnHost: anyHost,
	Claims: func(_ *pb.Fault, workloads []string) []Claim { return shareHost("/net.delay", workloads) },
	Magnitude: func(f *pb.Fault) string {
		d := f.GetNetDelay()
		return quantity.FormatSpan(d.GetDelay().GetNanos()) + " " + spell.Enum(d.GetDirection())
	},
	Undone: func(s *Scene) string {
		return "packets pass undelayed on " + text.Count(s.Hosts, "host") + ", our delay line gone"
	},
	Lacks: []Lack{},
}
