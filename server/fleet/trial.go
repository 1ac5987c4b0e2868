package fleet

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"

	pb "squall/proto/squall/v1"
)

// Try asks each agent that is connected here for one attempt of those probes
// that it would run, and waits until ctx ends. There is one trial for each
// probe, in their order, with the hosts that are connected here.
func (f *Fleet) Try(ctx context.Context, probes []*pb.PlannedProbe) []*pb.ProbeTrial {
	tried := make([]*pb.ProbeTrial, len(probes))
	for i, p := range probes {
		tried[i] = &pb.ProbeTrial{Probe: p.GetName()}
	}
	var mu sync.Mutex // guards tried
	var asked sync.WaitGroup
	for _, s := range f.all() {
		mine, places := runBy(s.host, probes)
		if len(mine) == 0 {
			continue
		}
		asked.Go(func() {
			attempts := s.try(ctx, mine)
			mu.Lock()
			defer mu.Unlock()
			for i, at := range places {
				tried[at].Attempts = append(tried[at].Attempts, attempts[i])
			}
		})
	}
	asked.Wait()
	return tried
}

// runBy are the probes that a host would run, and their places.
func runBy(host string, probes []*pb.PlannedProbe) (mine []*pb.PlannedProbe, places []int) {
	for i, p := range probes {
		if slices.Contains(p.GetHosts(), host) {
			// An agent has no use for the names of all the other hosts.
			mine = append(mine, &pb.PlannedProbe{Name: p.GetName(), Probe: p.GetProbe(), Workload: p.GetWorkload()})
			places = append(places, i)
		}
	}
	return mine, places
}

// try asks the agent, and waits for as many attempts as there are probes.
func (s *session) try(ctx context.Context, probes []*pb.PlannedProbe) []*pb.Attempt {
	id, answer := rand.Uint64(), make(chan []*pb.Attempt, 1)
	s.mu.Lock()
	s.trials[id] = answer
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.trials, id)
	}()
	if !s.out.try(&pb.TryProbes{Id: id, Probes: probes}) {
		return s.untried(len(probes), "the host is busy with the probes of other plans")
	}
	select {
	case attempts := <-answer:
		if len(attempts) != len(probes) {
			return s.untried(len(probes), "the agent answered for other probes")
		}
		return attempts
	case <-ctx.Done():
		return s.untried(len(probes), "the agent did not answer in time")
	}
}

func (s *session) untried(n int, why string) []*pb.Attempt {
	attempts := make([]*pb.Attempt, n)
	for i := range attempts {
		attempts[i] = &pb.Attempt{Host: s.host, Missing: true, Error: why}
	}
	return attempts
}

// tried takes what an agent tried. It speaks for its own host alone, and nobody
// may be waiting any more.
func (s *session) tried(t *pb.ProbesTried) {
	for _, a := range t.GetAttempts() {
		a.Host, a.Server, a.Error = s.host, "", clip(a.GetError())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if answer := s.trials[t.GetId()]; answer != nil {
		delete(s.trials, t.GetId())
		answer <- t.GetAttempts()
	}
}
