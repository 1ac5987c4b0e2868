package session

import (
	"context"
	"strings"
	"sync"
	"time"

	"squall/proto/probe"
	pb "squall/proto/squall/v1"
)

const (
	// maxTrials is how many plans' probes are tried at one time, maxTried how many
	// probes of one plan, and tryAtOnce how many of these at one time.
	maxTrials = 4
	maxTried  = 256
	tryAtOnce = 8
	// longestTry bounds an attempt whose own timeout is longer: a person waits.
	longestTry = 10 * time.Second
	// longestError is how much of an error a person is told, in bytes.
	longestError = 300
)

// trials makes single attempts of probes for people who plan. They go nowhere
// but back to the server that asked, and leave the probes of orders alone.
type trials struct {
	attempt plannedAttempt
	room    chan struct{}
	made    chan *pb.ProbesTried
	work    sync.WaitGroup
}

func newTrials(attempt plannedAttempt) *trials {
	return &trials{attempt: attempt, room: make(chan struct{}, maxTrials), made: make(chan *pb.ProbesTried)}
}

// begin tries the probes of a plan, or says at once why not. The answer comes
// through made, unless ctx ends before.
func (t *trials) begin(ctx context.Context, asked *pb.TryProbes) (refused *pb.ProbesTried) {
	if len(asked.GetProbes()) > maxTried {
		return untried(asked, "too many probes to try at one time")
	}
	select {
	case t.room <- struct{}{}:
	default:
		return untried(asked, "the host is busy with the probes of other plans")
	}
	t.work.Go(func() {
		answer := t.try(ctx, asked)
		<-t.room
		select {
		case t.made <- answer:
		case <-ctx.Done():
		}
	})
	return nil
}

func untried(asked *pb.TryProbes, why string) *pb.ProbesTried {
	answer := &pb.ProbesTried{Id: asked.GetId()}
	for range min(len(asked.GetProbes()), maxTried) {
		answer.Attempts = append(answer.Attempts, &pb.Attempt{Missing: true, Error: why})
	}
	return answer
}

func (t *trials) try(ctx context.Context, asked *pb.TryProbes) *pb.ProbesTried {
	answer := &pb.ProbesTried{Id: asked.GetId(), Attempts: make([]*pb.Attempt, len(asked.GetProbes()))}
	var attempts sync.WaitGroup
	defer attempts.Wait()
	turns := make(chan struct{}, tryAtOnce)
	for i, p := range asked.GetProbes() {
		turns <- struct{}{}
		attempts.Go(func() {
			answer.Attempts[i] = t.once(ctx, p)
			<-turns
		})
	}
	return answer
}

// once is one attempt within the probe's own timeout.
func (t *trials) once(ctx context.Context, p *pb.PlannedProbe) *pb.Attempt {
	ctx, cancel := context.WithTimeout(ctx, min(probe.Timeout(p.GetProbe()), longestTry))
	defer cancel()
	r := t.attempt(ctx, p)
	why := strings.ToValidUTF8(r.Err[:min(len(r.Err), longestError)], "")
	return &pb.Attempt{Ok: r.OK, DurationNanos: r.Duration.Nanoseconds(), Value: r.Value, Error: why}
}
