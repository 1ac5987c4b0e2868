package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"squall/experiments"
	pb "squall/proto/squall/v1"
)

// follower stays with one run: it prints its events, and answers to signals.
type follower struct {
	*app
	client *client
	run    string
	plan   *pb.Plan
	// detach ends the wait as soon as active says so.
	detach bool
	// active sees each event and says when the faults are active; nil for runs
	// of a file.
	active func(*pb.Event, *pb.Plan) bool
	live   *live
}

// errDetached ends a command well whose run goes on.
var errDetached = &exitError{code: experiments.ExitPass}

// follow returns when the run has its verdict, or when the person lets go.
func (f *follower) follow(ctx context.Context) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.live = newLive(f.stderr)
	watched := make(chan error, 1)
	go func() { watched <- f.client.watch(ctx, &pb.WatchRequest{Run: f.run}, f.see) }()
	ticks := time.NewTicker(redraw)
	defer ticks.Stop()
	for {
		select {
		case now := <-ticks.C:
			f.live.draw(now, f.plan)
		case err := <-watched:
			f.live.end()
			return f.end(ctx, err)
		case sig := <-signals:
			if detached, err := f.obey(ctx, sig, signals); detached || err != nil {
				cancel()
				_ = <-watched // it ends because of us
				return err
			}
		}
	}
}

// see takes one event, and says whether it was the last of interest.
func (f *follower) see(e *pb.Event) bool {
	f.live.event(e, f.plan)
	if f.active != nil && f.active(e, f.plan) {
		fmt.Fprintf(f.stdout, "active %s on %d hosts\n", f.run, hostsOf(f.plan))
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

// obey answers to a signal. A person at the keyboard is asked; whoever else
// sends one means it.
func (f *follower) obey(ctx context.Context, sig os.Signal, more <-chan os.Signal) (detached bool, err error) {
	f.live.end()
	if sig != os.Interrupt {
		return f.detach, f.halt(ctx, "signal "+sig.String())
	}
	if f.askDetach(more) {
		fmt.Fprintf(f.stderr, "detached; %s goes on under its guardrails and deadlines\n", f.run)
		return true, errDetached
	}
	return false, f.halt(ctx, "Ctrl-C")
}

// askDetach asks what Ctrl-C meant. No answer, a second signal, or an end of
// the input means halt.
func (f *follower) askDetach(more <-chan os.Signal) bool {
	fmt.Fprintf(f.stderr, "\ndetach (d) or halt (h)? halting in %v ", f.settings.HaltAfter)
	answer := make(chan string, 1)
	go func() {
		line, err := bufio.NewReader(f.stdin).ReadString('\n')
		if err != nil && err != io.EOF {
			line = ""
		}
		answer <- line
	}()
	select {
	case line := <-answer:
		return strings.HasPrefix(strings.TrimSpace(line), "d")
	case <-more:
	case <-time.After(f.settings.HaltAfter):
	}
	return false
}

// halt pulls the lever and says how far it came; the verdict still follows.
func (f *follower) halt(ctx context.Context, why string) error {
	ctx, cancel := context.WithTimeout(ctx, haltLimit)
	defer cancel()
	resp, err := f.client.halt(ctx, why+" in squall run "+f.run, f.settings.Wait)
	if err != nil {
		return err
	}
	fmt.Fprintln(f.stderr, haltLine(resp))
	if !resp.GetCommitted() {
		return cleanError(resp.GetHosts(), &exitError{experiments.ExitUnreachable, errUncommitted})
	}
	return nil
}
