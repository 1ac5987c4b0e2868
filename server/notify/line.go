package notify

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
	"squall/server/state"
)

// line tells one sink, one notice after another. A sink that is slow, or gone,
// holds up itself alone.
type line struct {
	*Deliverer
	sink *pb.Sink
	put  uint64 // which putting of the sink it is
	stop context.CancelFunc
	news chan struct{} // holds one where there may be more to tell
	seen uint64        // the newest notice at the last look

	// Of the line's goroutine.
	at      uint64 // the last notice that was dealt with
	gone    bool
	failing bool
	client  *http.Client
}

func newLine(d *Deliverer, kept *pb.KeptSink) *line {
	return &line{
		Deliverer: d, sink: kept.GetSink(), put: kept.GetPutIndex(), at: kept.GetWatermark(), gone: kept.GetGone(),
		news: make(chan struct{}, 1),
	}
}

// begin has the line work until it is stopped.
func (l *line) begin(ctx context.Context, work *sync.WaitGroup) {
	ctx, l.stop = context.WithCancel(ctx)
	l.news <- struct{}{} // what waited before
	work.Go(func() { l.run(ctx) })
}

// look wakes the line where there is something new.
func (l *line) look(newest uint64) {
	if newest == l.seen {
		return
	}
	l.seen = newest
	select {
	case l.news <- struct{}{}:
	default: // it will look anyway
	}
}

func (l *line) run(ctx context.Context) {
	defer func() { closeIdle(l.client) }()
	for {
		select {
		case <-l.news:
		case <-ctx.Done():
			return
		}
		for _, n := range l.View().Notices(l.sink.GetName(), l.at) {
			if !l.deliver(ctx, n) {
				return
			}
		}
	}
}

// deliver tries until the sink has taken a notice or it is given up. It is false
// where the line ends before: the next leader tells the sink again.
func (l *line) deliver(ctx context.Context, n *pb.Notice) bool {
	if l.gone {
		l.giveUp(n, 0, errGone)
		return true
	}
	wait := l.Pace.First
	for attempts := uint32(1); ; attempts++ {
		err := l.attempt(ctx, n)
		switch {
		case ctx.Err() != nil:
			return false
		case err == nil:
			l.took(n)
			return true
		}
		l.failed(n, err)
		f, _ := errors.AsType[*Failure](err)
		rest := max(wait/2+rand.N(wait), f.again())
		if f.final() || state.Age(n, l.Now())+rest > l.Pace.Limit {
			l.giveUp(n, attempts, err)
			return true
		}
		if !pause(ctx, rest) {
			return false
		}
		wait = min(2*wait, l.Pace.Last)
	}
}

func (l *line) attempt(ctx context.Context, n *pb.Notice) (err error) {
	ctx, cancel := context.WithTimeout(ctx, l.Pace.Attempt)
	defer cancel()
	if l.client == nil {
		if l.client, err = l.Sender.client(l.sink); err != nil {
			return err
		}
	}
	return l.Sender.send(ctx, l.client, l.sink, n)
}

func (l *line) took(n *pb.Notice) {
	if l.failing {
		l.Log.Info("a sink takes notices again", "sink", l.sink.GetName())
	}
	l.failing = false
	l.dealt(n, func(p *pb.SinkProgress) { p.Delivered++ })
}

func (l *line) failed(n *pb.Notice, err error) {
	if !l.failing {
		l.Log.Warn("a sink does not take a notice; it is tried again", "sink", l.sink.GetName(), "notice", n.GetId(), "cause", err)
	}
	l.failing = true
	l.note(l, func(p *pb.SinkProgress) { p.Failed++ })
}

func (l *line) giveUp(n *pb.Notice, attempts uint32, why error) {
	f, _ := errors.AsType[*Failure](why)
	l.gone = l.gone || f.isGone()
	l.Log.Error("a notice is given up", "sink", l.sink.GetName(), "notice", n.GetId(), "attempts", attempts, "cause", why)
	l.dealt(n, func(p *pb.SinkProgress) {
		p.GivenUp = append(p.GivenUp, &pb.GivenUp{Seq: n.GetSeq(), Why: text.Cut(text.Clean(told(why)), state.MaxWhy), Attempts: attempts})
		p.Gone = p.Gone || l.gone
	})
}

// dealt moves on to the next notice.
func (l *line) dealt(n *pb.Notice, change func(*pb.SinkProgress)) {
	l.at = n.GetSeq()
	l.note(l, func(p *pb.SinkProgress) {
		p.Watermark = l.at
		change(p)
	})
}

// closeIdle lets go of a client's connections.
func closeIdle(c *http.Client) {
	if c != nil {
		c.CloseIdleConnections()
	}
}

// retryAfterMost is the longest that a sink may ask to be left alone.
const retryAfterMost = 5 * time.Minute
