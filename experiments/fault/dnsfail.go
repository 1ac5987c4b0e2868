package fault

import (
	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

var dnsFail = Kind{
	Name:    "dns.fail",
	Example: "--zone zone-b --for 20s --share 30%",
	Begins:  "Lookups get no answer: queries over UDP and TCP port 53 and TCP port 853 vanish.",
	Ends:    "Lookups are answered again. What a process has cached of failures stays until it asks anew.",
	Needs:   []string{"dns.drop"},
	Harm:    Degrades,
	Narrows: map[string]string{"workload": Narrowed},
	Check:   func(f *pb.Fault) []Mistake { return checkAnswers(f.GetDnsFail().GetAnswer()) },
	Peers:   noPeers,
	Return:  backAtOnce,
	OnHost:  anyHost,
	Claims:  func(_ *pb.Fault, workloads []string) []Claim { return shareHost("/dns", workloads) },
	Magnitude: func(f *pb.Fault) string {
		return quantity.FormatRamp(f.GetDnsFail().GetShare())
	},
	Undone: func(s *Scene) string {
		return "lookups pass again on " + text.Count(s.Hosts, "host") + ", our programs gone"
	},
	Lacks: []Lack{
		{Field: "names", Only: "*", What: "dns.fail for single names", Fix: `use names: ["*"]`},
		{Field: "share", Moves: true, What: "ramp of dns.fail's share", Fix: "write one share"},
		noAnswer("servfail"), noAnswer("refused"), noAnswer("nxdomain"), noAnswer("nodata"),
		noAnswer("formerr"), noAnswer("truncate"), noAnswer("unreachable"),
	},
}

func noAnswer(name string) Lack {
	return Lack{Field: "answer." + name, What: "dns.fail answer " + name, Fix: "use `answer: { timeout: 100% }`"}
}

// checkAnswers wants the mix to be whole.
func checkAnswers(mix *pb.AnswerMix) []Mistake {
	if mix == nil {
		return nil
	}
	sum := uint32(0)
	for _, share := range []*pb.Share{
		mix.GetTimeout(), mix.GetServfail(), mix.GetRefused(), mix.GetNxdomain(),
		mix.GetNodata(), mix.GetFormerr(), mix.GetTruncate(), mix.GetUnreachable(),
	} {
		sum += share.GetPpm()
	}
	if sum == 1_000_000 {
		return nil
	}
	return []Mistake{{
		"answer", "the answers sum to " + quantity.FormatShare(sum),
		"let them sum to 100%; what else a failing query gets stands here too",
	}}
}
