package judge

import (
	"strings"

	"google.golang.org/protobuf/proto"

	"squall/proto/hist"
	pb "squall/proto/squall/v1"
)

// Trial judges the gate and the abort rules over one attempt of each probe: what
// they would say if it went on like that. What rests on an attempt that nobody
// made, or on a value that none gave, can't be known.
func (j *Judge) Trial(plan *pb.Plan, tried []*pb.ProbeTrial) (steady, abort []*pb.RuleTrial) {
	t := j.Track()
	t.see(&pb.Run{Plan: plan}, trialReadings(plan, tried))
	t.newest.move(1)
	for _, x := range j.steady {
		steady = append(steady, t.trial(x, x.text, false, tried))
	}
	for i, x := range j.abort {
		abort = append(abort, t.trial(x, j.experiment.GetAbort()[i].GetName(), true, tried))
	}
	return steady, abort
}

func (t *Track) trial(x *expression, name string, any bool, tried []*pb.ProbeTrial) *pb.RuleTrial {
	m := &moment{view: t.newest, any: any}
	r := &pb.RuleTrial{Name: name, Seen: x.seen(m)}
	switch x.eval(m) {
	case holds:
		r.Holds = proto.Bool(true)
	case broken:
		r.Holds = proto.Bool(false)
	default:
		r.Unknown = whyUnknown(x, tried)
	}
	return r
}

// whyUnknown names what an expression lacks.
func whyUnknown(x *expression, tried []*pb.ProbeTrial) string {
	var why []string
	for _, name := range x.sources() {
		for _, p := range tried {
			if reason := lacking(p); p.GetProbe() == name && reason != "" {
				why = append(why, name+" "+reason)
			}
		}
	}
	if len(why) == 0 {
		return "no attempt gave the value that it names"
	}
	return strings.Join(why, ", ")
}

// lacking is what a probe's attempts lack; empty where one succeeded everywhere.
func lacking(p *pb.ProbeTrial) string {
	failed := len(p.GetAttempts()) > 0
	for _, a := range p.GetAttempts() {
		if a.GetMissing() {
			return "was not tried everywhere"
		}
		failed = failed && !a.GetOk()
	}
	if failed {
		return "never succeeded"
	}
	return ""
}

// oneSecond holds the windows of a single second, the first: by probe and zone.
type oneSecond map[[2]string]*pb.Window

// Window implements Readings.
func (o oneSecond) Window(probe, zone string, second int64) *pb.Window {
	if second != 0 {
		return nil
	}
	return o[[2]string{probe, zone}]
}

// Zones implements Readings; nobody asks here.
func (o oneSecond) Zones(string) []string { return nil }

// Residue implements Readings: before a run there is none of it.
func (o oneSecond) Residue() int { return 0 }

// trialReadings makes windows of attempts, as hosts and servers make them.
func trialReadings(plan *pb.Plan, tried []*pb.ProbeTrial) oneSecond {
	zone, bit := map[string]string{}, map[[2]string]int{}
	for _, h := range plan.GetHosts() {
		zone[h.GetName()] = h.GetZone()
	}
	for _, p := range plan.GetProbes() {
		for i, host := range p.GetHosts() {
			bit[[2]string{p.GetName(), host}] = i
		}
	}
	windows := oneSecond{}
	for _, p := range tried {
		servers := 0
		for _, a := range p.GetAttempts() {
			if a.GetMissing() {
				continue
			}
			place := bit[[2]string{p.GetProbe(), a.GetHost()}]
			if a.GetHost() == "" {
				place = servers
				servers++
			}
			windows.count(p.GetProbe(), zone[a.GetHost()], place, a)
		}
	}
	return windows
}

// count adds an attempt to its probe's window of a zone.
func (o oneSecond) count(probe, zone string, place int, a *pb.Attempt) {
	w := o[[2]string{probe, zone}]
	if w == nil {
		w = &pb.Window{Probe: probe, Zone: zone, Latency: &pb.Histogram{}, NewestUnixNanos: nanos}
		o[[2]string{probe, zone}] = w
	}
	w.Hosts = set(w.Hosts, place)
	w.Count++
	if a.GetOk() {
		w.Success++
		hist.Add(w.Latency, a.GetDurationNanos())
	}
	if a.Value != nil {
		hist.AddWindow(w, &pb.Window{HasValue: true, Lowest: a.GetValue(), Highest: a.GetValue()})
	}
}
