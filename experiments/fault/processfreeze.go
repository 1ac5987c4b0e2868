package fault

import (
	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

var processFreeze = Kind{
	Name:    "process.freeze",
	Example: "--role db --pick 1 --for 15s",
	Begins:  "The workloads' processes stop where they are, and those that start there meanwhile as well: their sockets stay open, the kernel acknowledges what arrives, and nothing is answered.",
	Ends:    "What was frozen runs on where it stopped. What somebody else had stopped or frozen stays so.",
	Needs:   []string{"freeze"},
	Harm:    Degrades,
	Narrows: map[string]string{"workload": Narrowed},
	Check:   noCheck,
	Peers:   noPeers,
	Return:  backAtOnce,
	OnHost: func(_ *pb.Fault, h *pb.Host, frozen []*pb.HostWorkload) []Finding {
		if len(frozen) > 0 {
			return nil
		}
		return []Finding{{
			pb.Refusal_REFUSAL_EMPTY_TARGET, h.GetName() + " has no workload to freeze",
			"list one in the host's config, or exclude the host",
		}}
	},
	Claims:    func(_ *pb.Fault, workloads []string) []Claim { return shareHost("/workload", workloads) },
	Magnitude: func(*pb.Fault) string { return "all processes" },
	Undone: func(s *Scene) string {
		return text.Count(s.Workloads, "workload") + " thawed on " + text.Count(s.Hosts, "host")
	},
	Lacks: []Lack{},
}
