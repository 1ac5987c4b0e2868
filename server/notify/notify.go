// Package notify tells people's other systems what happens to runs and
// schedules: CloudEvents, webhooks of Slack's form, annotations of Grafana.
//
// What is to be told is in the replicated state, put there by the command that
// made it happen, and so is how far each sink has come. The leader's Deliverer
// works from one to the other: a new leader goes on where the record ends, so
// that each notice arrives at least once, under one id. Nothing waits for it.
package notify

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"time"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// Pace is how a Deliverer tries again, and how often it puts on record how far
// it has come.
type Pace struct {
	// Attempt is the longest that one attempt may take.
	Attempt time.Duration
	// First is the pause after the first failure; each is twice the one before, up
	// to Last. All are spread by a half.
	First, Last time.Duration
	// Limit is how old a notice may become before it is given up. Each is tried once
	// at least.
	Limit time.Duration
	// Record is the least time between two entries in the log.
	Record time.Duration
}

// DefaultPace is that of real servers, as docs/notify.md says.
var DefaultPace = Pace{Attempt: 10 * time.Second, First: time.Second, Last: time.Minute, Limit: 15 * time.Minute, Record: time.Second}

// Deliverer tells the sinks, for a leader.
type Deliverer struct {
	View func() *state.View
	// Propose commits a command as leader, or fails.
	Propose func(context.Context, *pb.Command) error
	// Now is cluster time.
	Now    func() time.Time
	Sender *Sender
	Pace   Pace
	Log    *slog.Logger

	mu sync.Mutex // guards done
	// done is what is not on record yet, by sink.
	done map[string]*pb.SinkProgress
}

// Lead tells every sink what waits for it, each by itself, until ctx ends.
func (d *Deliverer) Lead(ctx context.Context) {
	d.done = make(map[string]*pb.SinkProgress)
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { d.recordAlways(ctx) })
	lines := make(map[string]*line)
	for ctx.Err() == nil {
		view := d.View()
		d.follow(ctx, &work, view, lines)
		select {
		case <-view.Stale():
		case <-ctx.Done():
		}
	}
	for _, l := range lines {
		l.stop()
	}
}

// follow has one line for each sink as it is kept now.
func (d *Deliverer) follow(ctx context.Context, work *sync.WaitGroup, view *state.View, lines map[string]*line) {
	for name, l := range lines {
		if view.Sink(name).GetPutIndex() != l.put {
			l.stop()
			delete(lines, name)
		}
	}
	for _, kept := range view.Sinks() {
		l := lines[kept.GetSink().GetName()]
		if l == nil {
			l = newLine(d, kept)
			lines[kept.GetSink().GetName()] = l
			l.begin(ctx, work)
		}
		l.look(view.NoticeSeq())
	}
}

// note keeps what became of a notice until it is put on record.
func (d *Deliverer) note(l *line, change func(*pb.SinkProgress)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.done[l.sink.GetName()]
	if p.GetPutIndex() != l.put {
		p = &pb.SinkProgress{Sink: l.sink.GetName(), PutIndex: l.put, Watermark: l.at}
		d.done[l.sink.GetName()] = p
	}
	change(p)
}

// recordAlways puts on record how far sinks have come, a batch at a time.
func (d *Deliverer) recordAlways(ctx context.Context) {
	tick := time.NewTicker(d.Pace.Record)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			d.record(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// record commits one batch under one id, however often that takes.
func (d *Deliverer) record(ctx context.Context) {
	d.mu.Lock()
	c := &pb.RecordDelivered{}
	for _, p := range d.done {
		c.Sinks = append(c.Sinks, p)
	}
	clear(d.done)
	d.mu.Unlock()
	if len(c.GetSinks()) == 0 {
		return
	}
	cmd := &pb.Command{Id: "delivered/" + rand.Text(), Kind: &pb.Command_RecordDelivered{RecordDelivered: c}}
	for d.Propose(ctx, cmd) != nil && pause(ctx, d.Pace.Record) {
	}
}

// pause tells whether there is more to do after it.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
