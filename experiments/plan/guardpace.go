package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

// gap judges what went before in an environment. It is about beginnings: a run
// that goes on has had its own.
func (d *docket) gap(env string, least int64) []*ruling {
	if d.goesOn {
		return nil
	}
	for _, a := range d.w.Active {
		if !a.Done && d.comesTo(a.Plan, env) {
			return []*ruling{{
				broken: true, used: "run " + a.Run + " is under way",
				message: fmt.Sprintf("run %s is under way, and %s must lie between its end and the next run", a.Run, quantity.FormatSpan(least)),
				fix:     "wait for its end, and as long after it",
			}}
		}
	}
	last := Past{}
	for _, p := range d.w.Past {
		if d.comesTo(p.Plan, env) && p.EndUnixNanos > last.EndUnixNanos {
			last = p
		}
	}
	if last.Run == "" {
		return []*ruling{{used: "no run within " + quantity.FormatSpan(least)}}
	}
	since := d.w.NowUnixNanos - last.EndUnixNanos
	r := &ruling{broken: since < least, used: fmt.Sprintf("run %s ended %s ago, at least %s", last.Run, round(since), quantity.FormatSpan(least))}
	if r.broken {
		r.message = fmt.Sprintf("run %s ended %s ago, and %s must lie between runs", last.Run, round(since), quantity.FormatSpan(least))
		r.fix = "wait for " + round(least-since)
	}
	return []*ruling{r}
}

// round is a span in whole seconds, one at least.
func round(nanos int64) string {
	return quantity.FormatSpan(int64(max(time.Duration(nanos).Truncate(time.Second), time.Second)))
}

// comesTo tells whether a plan has a host in an environment.
func (d *docket) comesTo(p *pb.Plan, env string) bool {
	for _, step := range p.GetSteps() {
		for _, s := range step.GetSlots() {
			if environment(d.blast.registry.hosts[s.GetHost()]) == env {
				return true
			}
		}
	}
	return false
}

// onset is a fault that begins on a host.
type onset struct {
	at        int64
	run, host string
}

// onsets are where and when faults of a run begin in an environment, from its T0 on.
func (d *docket) onsets(run string, p *pb.Plan, t0 int64, env string) (all []onset) {
	for _, step := range p.GetSteps() {
		for _, s := range step.GetSlots() {
			if environment(d.blast.registry.hosts[s.GetHost()]) == env {
				all = append(all, onset{t0 + s.GetStartNanos(), run, s.GetHost()})
			}
		}
	}
	return all
}

// pace judges on how many hosts faults begin within any minute. Runs that have
// fired count by the instants of their faults, the last minute's included; of
// each that has not, the worst minute counts, since nobody knows when it comes.
func (d *docket) pace(env string, most int) *ruling {
	own := d.onsets(d.own.Run, d.own.Plan, d.own.T0UnixNanos, env)
	var known []onset
	if d.goesOn && d.own.T0UnixNanos != 0 {
		known, own = slices.DeleteFunc(own, func(o onset) bool { return o.at <= d.w.NowUnixNanos }), nil
		if len(known) == 0 {
			return &ruling{used: "no fault is to begin"}
		}
	}
	used := busiest(own)
	for _, a := range d.w.Active {
		switch {
		case a.Done || a.Run == d.own.Run || d.goesOn && (a.T0UnixNanos == 0 || d.letPast(a)):
		case a.T0UnixNanos == 0:
			used += busiest(d.onsets(a.Run, a.Plan, 0, env))
		default:
			known = append(known, d.onsets(a.Run, a.Plan, a.T0UnixNanos, env)...)
		}
	}
	for _, p := range d.w.Past {
		if d.goesOn && d.letPast(p.Active) {
			continue
		}
		known = append(known, slices.DeleteFunc(d.onsets(p.Run, p.Plan, p.T0UnixNanos, env), func(o onset) bool { return o.at > p.EndUnixNanos })...)
	}
	used += busiest(slices.DeleteFunc(known, func(o onset) bool { return o.at <= d.w.NowUnixNanos-minuteNanos }))
	r := &ruling{broken: used > most, used: fmt.Sprintf("%s a minute, at most %d", plural(used, "host"), most), hosts: d.touched(env)}
	if r.broken {
		r.message = fmt.Sprintf("faults begin on %d hosts within a minute%s, and on at most %d may they", used, d.together(), most)
		r.fix = "spread the start with `spread`, aim at fewer hosts, or wait for the other runs"
	}
	return r
}

// letPast tells whether a run was let past the guard that is asked.
func (d *docket) letPast(a Active) bool { return slices.Contains(a.Excepted, d.guard) }

// busiest is the most hosts on which faults begin within any minute, each
// counted once for each run.
func busiest(all []onset) int {
	slices.SortFunc(all, func(a, b onset) int { return cmp.Compare(a.at, b.at) })
	type on struct{ run, host string }
	within, most, from := map[on]int{}, 0, 0
	for _, o := range all {
		within[on{o.run, o.host}]++
		for ; all[from].at <= o.at-minuteNanos; from++ {
			gone := on{all[from].run, all[from].host}
			if within[gone]--; within[gone] == 0 {
				delete(within, gone)
			}
		}
		most = max(most, len(within))
	}
	return most
}
