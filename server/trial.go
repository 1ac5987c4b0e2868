package server

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"squall/experiments"
	"squall/experiments/judge"
	"squall/proto/parts"
	"squall/proto/probe"
	pb "squall/proto/squall/v1"
)

const (
	// longestTry bounds an attempt for a plan whose own timeout is longer: a person waits.
	longestTry = 10 * time.Second
	// tryGrace is how much longer than the slowest probe's timeout an agent's answer
	// may take, and as much again that of another server.
	tryGrace = time.Second
)

// trial tries each probe of a plan once, at all places where it would run, and
// says what the gate and the abort rules make of that. Nothing is recorded.
func (s *Server) trial(ctx context.Context, e *pb.Experiment, made *pb.Plan) *pb.Trial {
	probes := made.GetProbes()
	if len(probes) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, tryTime(probes)+tryGrace)
	defer cancel()
	t := &pb.Trial{Probes: s.tryEverywhere(ctx, probes)}
	if j, problems := judge.Compile(experiments.WithDefaults(e), experiments.Source{}); len(problems) == 0 {
		t.SteadyState, t.Abort = j.Trial(made, t.GetProbes())
	}
	return t
}

// tryTime is how long the attempts and the agents' answers may take.
func tryTime(probes []*pb.PlannedProbe) time.Duration {
	slowest := time.Duration(0)
	for _, p := range probes {
		slowest = max(slowest, min(probe.Timeout(p.GetProbe()), longestTry))
	}
	return slowest + tryGrace
}

// tryEverywhere asks all servers, since each has other agents.
func (s *Server) tryEverywhere(ctx context.Context, probes []*pb.PlannedProbe) []*pb.ProbeTrial {
	var mu sync.Mutex // guards answers
	answers := map[string][]*pb.ProbeTrial{}
	var others sync.WaitGroup
	others.Go(func() {
		s.peers.each(ctx, trials, tryTime(probes)+tryGrace, func(ctx context.Context, id string, peer pb.PeerServiceClient) {
			res, err := parts.Ask[pb.Tried](ctx, peer.Try, &pb.TryRequest{Probes: probes})
			if err != nil {
				s.log.Warn("server did not try the probes of a plan", "server", id, "cause", err)
			} else if len(res.GetProbes()) == len(probes) {
				mu.Lock()
				defer mu.Unlock()
				answers[id] = res.GetProbes()
			}
		})
	})
	here := s.tryHere(ctx, probes)
	others.Wait()
	mu.Lock()
	defer mu.Unlock()
	answers[s.id] = here
	return joinTrials(probes, answers, s.serverIDs())
}

// joinTrials puts the attempts of each probe in the order of its hosts, and then
// of the servers. Who did not answer is named.
func joinTrials(probes []*pb.PlannedProbe, answers map[string][]*pb.ProbeTrial, servers []string) []*pb.ProbeTrial {
	slices.Sort(servers)
	tried := make([]*pb.ProbeTrial, len(probes))
	for i, p := range probes {
		byHost, byServer := map[string]*pb.Attempt{}, map[string]*pb.Attempt{}
		for _, answer := range answers {
			for _, a := range answer[i].GetAttempts() {
				if a.GetHost() != "" {
					byHost[a.GetHost()] = a
				} else {
					byServer[a.GetServer()] = a
				}
			}
		}
		tried[i] = &pb.ProbeTrial{Probe: p.GetName()}
		for _, host := range p.GetHosts() {
			tried[i].Attempts = append(tried[i].Attempts, orMissing(byHost[host], &pb.Attempt{Host: host, Error: "no server that answers has its agent"}))
		}
		for _, server := range servers {
			if p.GetControl() {
				tried[i].Attempts = append(tried[i].Attempts, orMissing(byServer[server], &pb.Attempt{Server: server, Error: "the server did not answer"}))
			}
		}
	}
	return tried
}

func orMissing(a, otherwise *pb.Attempt) *pb.Attempt {
	if a != nil {
		return a
	}
	otherwise.Missing = true
	return otherwise
}

// tryHere tries probes from the hosts connected here, and from this server.
func (s *Server) tryHere(ctx context.Context, probes []*pb.PlannedProbe) []*pb.ProbeTrial {
	ctx, cancel := context.WithTimeout(ctx, tryTime(probes))
	defer cancel()
	var mine sync.WaitGroup
	own := make([]*pb.Attempt, len(probes))
	for i, p := range probes {
		if p.GetControl() && p.GetProbe() != nil {
			mine.Go(func() { own[i] = s.tryOnce(ctx, p) })
		}
	}
	tried := s.fleet.Try(ctx, probes)
	mine.Wait()
	for i, a := range own {
		if a != nil {
			tried[i].Attempts = append(tried[i].Attempts, a)
		}
	}
	return tried
}

func (s *Server) tryOnce(ctx context.Context, p *pb.PlannedProbe) *pb.Attempt {
	ctx, cancel := context.WithTimeout(ctx, min(probe.Timeout(p.GetProbe()), longestTry))
	defer cancel()
	attempt := s.cfg.Attempt
	if attempt == nil {
		attempt = func(ctx context.Context, p *pb.PlannedProbe) probe.Reading { return probe.Probe(ctx, p.GetProbe()) }
	}
	r := attempt(ctx, p)
	return &pb.Attempt{Server: s.id, Ok: r.OK, DurationNanos: r.Duration.Nanoseconds(), Value: r.Value, Error: r.Err}
}

// Try makes one attempt of each probe from the hosts whose agents are connected
// here, and from this server.
func (d *peerDoor) Try(req *pb.TryRequest, stream grpc.ServerStreamingServer[pb.TryResponse]) error {
	tried := &pb.Tried{Probes: d.server.tryHere(stream.Context(), req.GetProbes())}
	return parts.Send(stream, tried, func(part []byte) *pb.TryResponse { return &pb.TryResponse{Part: part} })
}
