package host

import (
	"context"
	"fmt"
	"strings"

	"squall/agent/host/bpf"
	pb "squall/proto/squall/v1"
)

// everyQuery is a share of all lookups.
const everyQuery = 1_000_000

// dropDNS lets lookups vanish.
var dropDNS = operation{
	ability: "dns.drop",
	program: &bpf.Trial{
		Engine: "tcx", Port: 53, Counter: "queries_dropped",
		Attach: func(l *bpf.Loader, g *pb.Gate) (bpf.Attachment, error) {
			return l.DropDNS(g, &pb.DropDNS{SharePpm: everyQuery})
		},
	},
	ready: func(l *bpf.Loader, _ *pb.Exempt) error {
		return bpf.Warm(l.DropDNS(&pb.Gate{}, &pb.DropDNS{SharePpm: everyQuery}))
	},
	arm: armDropDNS,
	says: func(op *pb.Op) string {
		d := op.GetDropDns()
		of := "the host"
		if len(d.GetCgroups()) > 0 {
			of = strings.Join(d.GetCgroups(), " ")
		}
		return fmt.Sprintf("drop %g%% of lookups for %s", float64(d.GetSharePpm())/(everyQuery/100), of)
	},
}

func armDropDNS(_ context.Context, h *held) (mechanism, func(context.Context) error, error) {
	op := h.op.GetDropDns()
	scope, err := h.scope(op.GetCgroups())
	if err != nil {
		return nil, nil, err
	}
	return h.aimed(scope, effect{name: "dropped", of: []string{"queries_dropped", "answers_dropped"}},
		func(l *bpf.Loader) (bpf.Attachment, error) { return l.DropDNS(h.op.GetGate(), op, scope.ids()...) },
		func(ctx context.Context, a bpf.Attachment, before map[string]uint64) (*pb.Evidence, error) {
			return tryLookups(ctx, op, a, before)
		})
}

// tryLookups looks names up by the host's own path. Lookups of one workload
// can't be tried from outside its cgroup: then counters are the evidence.
func tryLookups(ctx context.Context, op *pb.DropDNS, a bpf.Attachment, before map[string]uint64) (*pb.Evidence, error) {
	server := resolver(resolvConf)
	if server == "" || len(op.GetCgroups()) > 0 {
		return nil, nil
	}
	vanished := lookups(ctx, server)
	now, err := a.Counters()
	if err != nil {
		return nil, err
	}
	dropped := now["queries_dropped"] + now["answers_dropped"] - before["queries_dropped"] - before["answers_dropped"]
	return &pb.Evidence{
		Name: "probe", Value: float64(vanished), Holds: vanished == canaries && dropped >= canaries,
		// Of a share, a few lookups prove nothing either way.
		Fact: op.GetSharePpm() < everyQuery,
		Text: fmt.Sprintf("%d of %d lookups at %s got no answer", vanished, canaries, server),
	}, nil
}
