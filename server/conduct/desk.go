package conduct

import (
	"cmp"
	"context"
	"time"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// desk conducts one run for a term, on a goroutine of its own.
type desk struct {
	*term
	run     string
	news    chan struct{} // has a token in it when the run has changed
	decider Decider
	slow    bool // the last decision overran its budget
}

func (d *desk) tell() {
	select {
	case d.news <- struct{}{}:
	default:
	}
}

// conduct makes decisions until the run is done or the term is over.
func (d *desk) conduct(ctx context.Context) {
	for ctx.Err() == nil {
		v := d.Machine.View()
		if closed(v.Run(d.run)) {
			return
		}
		decision, ok := d.look(ctx, v)
		switch {
		case !ok:
			return
		case len(decision.Record) > 0:
			d.record(ctx, decision.Record)
		default:
			d.rest(ctx, decision.Wake)
		}
	}
}

// look makes a decision in a seat. It is not ok when the term is over.
func (d *desk) look(ctx context.Context, v *state.View) (Decision, bool) {
	leave, ok := d.seats.take(ctx, d.slow)
	if !ok {
		return Decision{}, false
	}
	defer leave()
	d.decider.Commit, d.decider.Slop, d.decider.Since = d.commit.longest(), d.slop.longest(), d.since
	d.decider.UsualCommit = d.commit.usual()
	began := time.Now()
	decision := d.make(d.Now(), v)
	d.slow = time.Since(began) > budget
	return decision, true
}

func (d *desk) make(now time.Time, v *state.View) Decision {
	if d.Decide != nil {
		return d.Decide(&d.decider, now, v, d.run)
	}
	return d.decider.Decide(now, v, d.run)
}

// record proposes the commands of one decision.
func (d *desk) record(ctx context.Context, commands []*pb.Command) {
	began := time.Now()
	outcomes, err := d.Proposer.Propose(ctx, commands...)
	failed, why := nothingCameOf(commands, outcomes)
	if err == nil && failed == nil {
		d.commit.add(time.Since(began))
		return
	}
	if ctx.Err() == nil {
		d.Log.Warn("decision came to nothing", "command", cmp.Or(failed, commands[0]).GetId(), "err", err, "refused", why)
	}
	sleep(ctx, pause)
}

// nothingCameOf is the first command that was refused or had taken effect before,
// and why it was refused; nil where there is none.
func nothingCameOf(commands []*pb.Command, outcomes []*pb.Outcome) (*pb.Command, string) {
	for i, o := range outcomes {
		if o.GetRefused() != nil || o.GetRepeatedCommand() {
			return commands[i], o.GetRefused().GetMessage()
		}
	}
	return nil, ""
}

// rest waits until the run has changed, or until cluster time wake.
func (d *desk) rest(ctx context.Context, wake time.Time) {
	if wake.IsZero() {
		select {
		case <-d.news:
		case <-ctx.Done():
		}
		return
	}
	timer := time.NewTimer(max(wake.Sub(d.Now()), time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
		d.slop.add(d.Now().Sub(wake))
	case <-d.news:
	case <-ctx.Done():
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
