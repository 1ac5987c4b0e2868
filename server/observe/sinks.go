package observe

import (
	"fmt"
	"maps"
	"slices"

	pb "squall/proto/squall/v1"
)

// ofSinks are the figures of who is told of what happens. There are few sinks,
// and each is a label.
var ofSinks = []figure{
	{"squall_notify_delivered_total", "Notices that a sink has taken, since it was first put.", []string{"sink"}, sinks((*pb.KeptSink).GetDelivered)},
	{"squall_notify_failed_attempts_total", "Attempts to tell a sink that failed; most are tried again.", []string{"sink"}, sinks((*pb.KeptSink).GetFailed)},
	{"squall_notify_dead_total", "Notices that were given up, since the sink was first put.", []string{"sink"}, sinks((*pb.KeptSink).GetDeadEver)},
	{"squall_notify_lost_total", "Notices that had to make room for newer ones before a sink was told, since it was first put.", []string{"sink"}, sinks((*pb.KeptSink).GetLost)},
	{"squall_notify_dead_notices", "Notices that were given up and are kept, to be retried or dropped.", []string{"sink"}, sinks(func(s *pb.KeptSink) uint64 {
		return uint64(len(s.GetDead()))
	})},
	{"squall_notify_waiting", "Notices that a sink has yet to be told.", []string{"sink"}, func(p *picture, to sums) {
		for _, s := range p.View.Sinks() {
			to.add(float64(len(p.View.Notices(s.GetSink().GetName(), 0))), s.GetSink().GetName())
		}
	}},
	{"squall_notify_sink_ready", "1 while this server has what a sink is told with (secrets, leave to send them there, authorities), and the sink has not said that it is gone; each server may come to lead.", []string{"sink"}, func(p *picture, to sums) {
		for _, s := range p.View.Sinks() {
			name := s.GetSink().GetName()
			to.add(flag(p.Lacks[name] == "" && !s.GetGone()), name)
		}
	}},
}

func sinks(count func(*pb.KeptSink) uint64) func(*picture, sums) {
	return func(p *picture, to sums) {
		for _, s := range p.View.Sinks() {
			to.add(float64(count(s)), s.GetSink().GetName())
		}
	}
}

// butSinks says which sinks this server can't tell, behind what is well with it.
func butSinks(s Sight) (text string) {
	for _, name := range slices.Sorted(maps.Keys(s.Lacks)) {
		if why := s.Lacks[name]; why != "" && s.View.Sink(name) != nil {
			text += fmt.Sprintf("; but it can't tell sink %s: %s", name, why)
		}
	}
	return text
}
