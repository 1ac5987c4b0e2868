package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/status"

	"squall/experiments"
	pb "squall/proto/squall/v1"
)

// rewatch is the pause before events are asked for again.
const rewatch = 200 * time.Millisecond

// watch calls each for every event of a run (of all runs, when it is empty)
// from after on, in order and once, until each says that it is done. When a
// server falls silent it goes on with the next, where it left off.
func (c *client) watch(ctx context.Context, req *pb.WatchRequest, each func(*pb.Event) (done bool)) error {
	after, fruitless := req.GetAfterIndex(), 0
	for n := 0; ; n++ {
		s := c.servers[n%len(c.servers)]
		last, done, err := watchOne(ctx, s.control, &pb.WatchRequest{Run: req.GetRun(), AfterIndex: after}, each)
		switch {
		case done || ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !elsewhere(err) && !errors.Is(err, io.EOF):
			return refusal(err)
		}
		if fruitless++; last > after {
			fruitless, after = 0, last
		}
		if fruitless >= patientRounds*len(c.servers) {
			return &exitError{experiments.ExitUnreachable, fmt.Errorf(
				"lost sight of the run: %s; it goes on under its guardrails and deadlines; squall status shows it", status.Convert(err).Message())}
		}
		if !rest(ctx, rewatch) {
			return ctx.Err()
		}
	}
}

// patientRounds is how often every server may fail in a row before watching ends.
const patientRounds = 50

func watchOne(ctx context.Context, control pb.ControlServiceClient, req *pb.WatchRequest, each func(*pb.Event) bool) (last uint64, done bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	last = req.GetAfterIndex()
	stream, err := control.Watch(ctx, req)
	for err == nil {
		var resp *pb.WatchResponse
		if resp, err = stream.Recv(); err != nil {
			break
		}
		e := resp.GetEvent()
		last = max(last, e.GetIndex())
		if each(e) {
			return last, true, nil
		}
	}
	return last, false, err
}

func rest(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// printLine prints an event as a line: when, in both clocks where there are
// two, and what.
func printLine(w io.Writer, e *pb.Event) {
	line := clockTime(e.GetAtUnixNanos())
	if e.GetIncidentUnixNanos() != 0 {
		line += " [" + time.Unix(0, e.GetIncidentUnixNanos()).UTC().Format(time.TimeOnly) + "]"
	}
	if e.GetRun() != "" {
		line += " " + e.GetRun()
	}
	fmt.Fprintln(w, escape(line+" "+e.GetText()))
}

// finished reports whether an event is a run's last.
func finished(e *pb.Event) bool {
	return e.GetKind() == pb.EventKind_EVENT_KIND_VERDICT || e.GetState() == pb.RunState_RUN_STATE_DONE
}
