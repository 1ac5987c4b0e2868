package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"squall/experiments"
	pb "squall/proto/squall/v1"
)

// choice is what a person wants of a run that Ctrl-C has interrupted.
type choice int

const (
	undoRun choice = iota
	detachRun
	haltAll
	continueRun
	// leaveNow asks for the undo and does not stay to see it.
	leaveNow
)

// signalLimit bounds an undo or a halt that a signal asks for, and leaveLimit
// the undo of somebody who has pressed Ctrl-C twice.
const (
	signalLimit = 30 * time.Second
	leaveLimit  = 500 * time.Millisecond
)

// errDetached ends a command well whose run goes on.
var errDetached = &exitError{code: experiments.ExitPass}

// obey answers to a signal, and says whether the person has left the run. A
// person at the keyboard is asked; whoever else sends one wants the run undone,
// or, with --detach, to be let go.
func (f *follower) obey(ctx context.Context, sig os.Signal, more <-chan os.Signal) (left bool, err error) {
	f.live.pause()
	what := undoRun
	switch {
	case sig == os.Interrupt:
		what = f.choose(more)
	case f.detach:
		what = detachRun
	}
	switch what {
	case detachRun:
		fmt.Fprintf(f.stderr, "detached; %s goes on under its guardrails and deadlines\n", f.run)
		return true, errDetached
	case continueRun:
		fmt.Fprintf(f.stderr, "%s goes on\n", f.run)
		return false, nil
	case haltAll:
		return f.unlessLeft(ctx, more, f.haltAll)
	case leaveNow:
		return true, f.leave(ctx)
	}
	return f.unlessLeft(ctx, more, f.undo)
}

// choose asks what Ctrl-C meant, until the answer is one of those offered. No
// answer, an empty one and an end of the input mean undo.
func (f *follower) choose(more <-chan os.Signal) choice {
	for {
		fmt.Fprintf(f.stderr, "\n[u]ndo this run (in %v)  [d]etach  [H]alt everything  [c]ontinue ", f.settings.UndoAfter)
		select {
		case line := <-f.typed():
			if what, ok := choiceOf(line); ok {
				return what
			}
			fmt.Fprintf(f.stderr, "%q is none of these", strings.TrimSpace(line))
		case <-more:
			return leaveNow
		case <-time.After(f.settings.UndoAfter):
			fmt.Fprintln(f.stderr)
			return undoRun
		}
	}
}

// choices are what Ctrl-C may mean, by the words of the question.
var choices = map[string]choice{"undo": undoRun, "detach": detachRun, "halt": haltAll, "continue": continueRun}

// choiceOf reads an answer: one of the words, or as much of its beginning as was
// typed; nothing at all is undo. False is any other answer.
func choiceOf(line string) (choice, bool) {
	answer := strings.ToLower(strings.TrimSpace(line))
	if answer == "" {
		return undoRun, true
	}
	for word, what := range choices {
		if strings.HasPrefix(word, answer) {
			return what, true
		}
	}
	return undoRun, false
}

// typed yields the lines of the person's input, and empty ones when it has ended.
func (f *follower) typed() <-chan string {
	if f.answers != nil {
		return f.answers
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(f.stdin); in.Scan(); {
			lines <- in.Text()
		}
	}()
	f.answers = lines
	return lines
}

// unlessLeft lets go of a run, and stays for as long as nobody presses Ctrl-C
// once more.
func (f *follower) unlessLeft(ctx context.Context, more <-chan os.Signal, letGo func(context.Context) error) (left bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, signalLimit)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- letGo(ctx) }()
	select {
	case err := <-done:
		return false, err
	case <-more:
		return true, f.unconfirmed()
	}
}

// leave asks for the undo without waiting for hosts to show that they are clean.
func (f *follower) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaveLimit)
	defer cancel()
	_, _ = askWithin(ctx, f.client, leaveLimit, pb.ControlServiceClient.Undo, f.undoRequest(0)) // unconfirmed says all
	return f.unconfirmed()
}

func (f *follower) unconfirmed() error {
	return &exitError{experiments.ExitResidue, fmt.Errorf(
		"left at once: the undo of %s was asked for and is not confirmed; squall status shows it, and hosts end what they hold at their deadlines", f.run)}
}

func (f *follower) undoRequest(wait time.Duration) *pb.UndoRequest {
	return &pb.UndoRequest{Run: f.run, Reason: "ended by who started it", WaitNanos: wait.Nanoseconds()}
}

// undo ends this run alone and says how far that came; the verdict still follows.
func (f *follower) undo(ctx context.Context) error {
	fmt.Fprintf(f.stderr, "undoing %s; Ctrl-C again leaves at once\n", f.run)
	wait := f.settings.Wait
	resp, err := askWithin(ctx, f.client, wait+f.settings.Timeout, pb.ControlServiceClient.Undo, f.undoRequest(wait))
	var code *exitError
	if errors.As(err, &code) && code.code == experiments.ExitUnreachable {
		return &exitError{code.code, fmt.Errorf("the undo of %s is not confirmed: %w; hosts end what they hold at their lease", f.run, err)}
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(f.stderr, "undone: %s\n", f.run)
	return cleanError(resp, nil)
}

// haltAll pulls the region-wide lever and says how far it came; the verdict
// still follows.
func (f *follower) haltAll(ctx context.Context) error {
	resp, err := f.client.halt(ctx, "Ctrl-C in squall run "+f.run, f.settings.Wait)
	if err != nil {
		return err
	}
	fmt.Fprintln(f.stderr, haltLine(resp))
	if !resp.GetCommitted() {
		return cleanError(resp, &exitError{experiments.ExitUnreachable, errUncommitted})
	}
	return nil
}
