package fleet

import (
	"context"
	"strings"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

func tries(m *pb.SessionResponse) (*pb.TryProbes, bool) {
	return m.GetTryProbes(), m.GetTryProbes() != nil
}

// try asks all agents, until ctx ends.
func (r *rig) try(ctx context.Context, probes ...*pb.PlannedProbe) <-chan []*pb.ProbeTrial {
	done := make(chan []*pb.ProbeTrial, 1)
	go func() { done <- r.f.Try(ctx, probes) }()
	return done
}

func (a *agent) tried(id uint64, attempts ...*pb.Attempt) {
	a.say(&pb.SessionRequest{Kind: &pb.SessionRequest_ProbesTried{ProbesTried: &pb.ProbesTried{Id: id, Attempts: attempts}}})
}

// TestATrialAsksEachAgentForItsOwnProbes: an agent hears of the probes that it
// would run, speaks for its own host alone, and one that is silent is named.
func TestATrialAsksEachAgentForItsOwnProbes(t *testing.T) {
	inBubble(t, func(r *rig) {
		a, b := r.join("a"), r.join("b")
		ctx, cancel := context.WithTimeout(r.t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		done := r.try(ctx,
			&pb.PlannedProbe{Name: "shop", Hosts: []string{"a", "b", "elsewhere"}},
			&pb.PlannedProbe{Name: "mine", Hosts: []string{"a"}})
		asked := heard(a, tries)
		if len(asked) != 1 || len(asked[0].GetProbes()) != 2 || len(asked[0].GetProbes()[0].GetHosts()) != 0 {
			t.Fatalf("a is asked for %v", asked)
		}
		if of := heard(b, tries); len(of) != 1 || len(of[0].GetProbes()) != 1 {
			t.Fatalf("b is asked for %v", of)
		}
		a.tried(asked[0].GetId()+1, &pb.Attempt{}, &pb.Attempt{}) // of nobody's trial
		a.tried(asked[0].GetId(), &pb.Attempt{Ok: true, Host: "b"}, &pb.Attempt{Error: "refused" + strings.Repeat("!", maxHost)})
		trials := <-done
		shop, mine := trials[0].GetAttempts(), trials[1].GetAttempts()
		if len(shop) != 2 || len(mine) != 1 || mine[0].GetHost() != "a" || !strings.HasPrefix(mine[0].GetError(), "refused") || len(mine[0].GetError()) > maxLine+3 {
			t.Fatalf("it gave %v", trials)
		}
		for _, at := range shop {
			if at.GetMissing() != (at.GetHost() == "b") || at.GetOk() != (at.GetHost() == "a") {
				t.Errorf("shop has %v", at)
			}
		}
		if waited := time.Since(began); waited != 3*time.Second {
			t.Errorf("it waited %v for the silent one", waited)
		}
		if len(r.f.session("b").trials) != 0 {
			t.Error("the session goes on waiting")
		}
	})
}

func TestAnAgentThatAnswersForOtherProbesCountsAsMissing(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		done := r.try(r.t.Context(), &pb.PlannedProbe{Name: "shop", Hosts: []string{"a"}})
		a.tried(heard(a, tries)[0].GetId(), &pb.Attempt{Ok: true}, &pb.Attempt{Ok: true})
		if got := (<-done)[0].GetAttempts(); len(got) != 1 || !got[0].GetMissing() || got[0].GetHost() != "a" {
			t.Errorf("it gave %v", got)
		}
	})
}

func TestTrialsThatWaitForOneAgentAreBounded(t *testing.T) {
	o := newOutbox()
	for i := range maxTries {
		if !o.try(&pb.TryProbes{Id: uint64(i)}) {
			t.Fatal("refused too soon")
		}
	}
	if o.try(&pb.TryProbes{}) {
		t.Error("an agent that reads nothing makes a server keep any number of trials")
	}
}
