package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	pb "squall/proto/squall/v1"
)

// follower stays with one run: it prints its events, and answers to signals.
type follower struct {
	*app
	client *client
	run    string
	// started is what was said of the run when it was let in.
	started *pb.RunResponse
	// detach ends the wait as soon as active says so.
	detach bool
	// active sees each event and says when the faults are active; nil for runs
	// of a file.
	active func(e *pb.Event, slots uint32) bool
	live   *live
	// answers are the lines that a person types; nil before the first question.
	answers <-chan string
}

// follow returns when the run has its verdict, or when the person lets go.
func (f *follower) follow(ctx context.Context) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.live = newLive(f.stderr)
	watched := make(chan error, 1)
	go f.live.follow(ctx, f.client, f.run)
	go func() { watched <- f.client.watch(ctx, &pb.WatchRequest{Run: f.run}, f.see) }()
	ticks := time.NewTicker(redraw)
	defer ticks.Stop()
	for {
		select {
		case now := <-ticks.C:
			f.live.draw(now)
		case err := <-watched:
			f.live.pause()
			return f.end(ctx, err)
		case sig := <-signals:
			if left, err := f.obey(ctx, sig, signals); left || err != nil {
				cancel()
				_ = <-watched // it ends because of us
				return err
			}
			f.live.resume()
		}
	}
}

// see takes one event, and says whether it was the last of interest.
func (f *follower) see(e *pb.Event) bool {
	f.live.event(e)
	if f.active != nil && f.active(e, f.started.GetSlots()) {
		fmt.Fprintf(f.stdout, "active %s on %d hosts\n", f.run, f.started.GetHosts())
		f.active = nil
		return f.detach
	}
	return finished(e)
}

func (f *follower) end(ctx context.Context, err error) error {
	if err != nil || f.detach && f.active == nil {
		return err
	}
	return f.finish(ctx, f.client, f.run)
}
