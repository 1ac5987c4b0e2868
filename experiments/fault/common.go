package fault

import (
	"strconv"

	pb "squall/proto/squall/v1"
)

// What follows is for kinds to name where they have nothing to say of their
// own, so that saying nothing is written down too.

// noCheck is for keys that need no more than their descriptors say.
func noCheck(*pb.Fault) []Mistake { return nil }

// noPeers is for faults that don't tell connections apart.
func noPeers(*pb.Fault) *Peers { return nil }

// backAtOnce is for faults whose targets are there when they end.
func backAtOnce(*pb.Fault) *pb.WayBack { return nil }

// anyHost is for faults that every able and willing host can take.
func anyHost(*pb.Fault, *pb.Host, []*pb.HostWorkload) []Finding { return nil }

// shareHost leaves the host to others and takes one thing on it: as a whole,
// or for each of the workloads alone.
func shareHost(what string, workloads []string) []Claim {
	if len(workloads) == 0 {
		return []Claim{{"", true}, {what, false}}
	}
	list := []Claim{{"", true}}
	for _, w := range workloads {
		list = append(list, Claim{what + "/" + w, false})
	}
	return append(list, Claim{what, true})
}

func quoted(text string) string { return strconv.Quote(text) }
