package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pb "squall/proto/squall/v1"
)

// guard sets a guardrail of the cluster.
func (r *region) guard(g *pb.Guard, endRuns bool) (*pb.SetGuardResponse, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return r.user(r.leader().id).SetGuard(ctx, &pb.SetGuardRequest{Guard: g, Reason: "agreed", EndRuns: endRuns})
}

// nameless takes a zone's names.
func nameless(zone string) []byte {
	return fmt.Appendf(nil, "version: 1\nname: nameless-%s\ntitle: No names\nguardrails: { environments: [lab] }\n"+
		"targets: { it: { zone: %s } }\ntimeline: [ { at: T+0s, phase: p, until: T+6s, faults: [ dns.fail: { target: it, for: 5s } ] } ]\n", zone, zone)
}

// TestNeverTwoZonesWhateverLeadersDie: every server is asked at once for a run in
// a zone of its own, again and again, and the leader dies meanwhile.
func TestNeverTwoZonesWhateverLeadersDie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		if _, err := r.guard(&pb.Guard{Name: "one-zone", Rule: &pb.Guard_MaxZones{MaxZones: 1}}, false); err != nil {
			t.Fatal(err)
		}
		let, refused := 0, 0
		for round := range 4 {
			a := r.askedAtOnce(round)
			l := r.leader()
			time.Sleep(time.Duration(round) * 7 * time.Millisecond)
			l.kill()
			r.until("the answers", time.Minute, func() bool {
				r.inOneZone()
				return a.all(len(zones))
			})
			l.start()
			r.until("the end of the runs", time.Minute, func() bool {
				r.inOneZone()
				return r.leader() != nil && len(r.view().Active()) == 0
			})
			let, refused = let+a.let, refused+a.refused
			r.waitReady()
		}
		if let < 4 || refused < 4 {
			t.Errorf("%d runs were let in and %d refused in 4 rounds", let, refused)
		}
	})
}

// answers are what became of requests.
type answers struct {
	mu           sync.Mutex
	let, refused int
}

func (a *answers) all(n int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.let+a.refused == n
}

// askedAtOnce asks each server for a run in a zone of its own, until it answers.
func (r *region) askedAtOnce(round int) *answers {
	a := &answers{}
	var clients []pb.ControlServiceClient
	for _, c := range r.servers {
		clients = append(clients, r.user(c.id))
	}
	for i, c := range r.servers {
		req := &pb.RunRequest{Id: fmt.Sprint("round ", round, " of ", c.id), File: "sim.yaml", Source: nameless(zones[i])}
		go func() {
			end := time.Now().Add(50 * time.Second)
			for try := i; time.Now().Before(end); try++ { // the dead answer nobody
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				res, err := clients[try%len(clients)].Run(ctx, req)
				cancel()
				if err == nil && !absent(res.GetRefused()) {
					a.count(res)
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		}()
	}
	return a
}

// absent tells that hosts are changing over to another server just now.
func absent(refused []*pb.Problem) bool {
	return slices.ContainsFunc(refused, func(p *pb.Problem) bool { return p.GetRefusal() == pb.Refusal_REFUSAL_ABSENT })
}

func (a *answers) count(res *pb.RunResponse) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(res.GetRefused()) == 0 {
		a.let++
		return
	}
	a.refused++
}

// inOneZone looks at what the machine has let in, and at what hosts do.
func (r *region) inOneZone() {
	r.t.Helper()
	admitted, acting := map[string]bool{}, map[string]bool{}
	for _, run := range r.view().Active() {
		for _, step := range run.GetPlan().GetSteps() {
			for _, s := range step.GetSlots() {
				admitted[r.view().Host(s.GetHost()).GetHost().GetZone()] = true
			}
		}
	}
	for _, m := range r.machines {
		if acts(m) {
			acting[m.zone] = true
		}
	}
	if len(admitted) > 1 || len(acting) > 1 {
		r.t.Fatalf("runs are in zones %v, faults in %v", admitted, acting)
	}
}

// TestGuardThatARunBreaksEndsItOnlyWhereThatIsSaid, on every host, with the
// guardrail's name as the reason.
func TestGuardThatARunBreaksEndsItOnlyWhereThatIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		run := r.run(short)
		r.until("the faults", 30*time.Second, func() bool { return slices.ContainsFunc(r.struck(), acts) })
		g := &pb.Guard{Name: "not-b", Rule: &pb.Guard_Protect{Protect: &pb.GuardProtect{Match: []string{"zone=zone-b"}}}}
		if _, err := r.guard(g, false); err == nil || !strings.Contains(err.Error(), run) {
			t.Errorf("a guardrail that a run breaks is set: %v", err)
		}
		if !slices.ContainsFunc(r.struck(), acts) {
			t.Error("a guardrail that was refused ended the run")
		}
		res, err := r.guard(g, true)
		if err != nil || len(res.GetEnded()) != 1 || res.GetEnded()[0].GetRun() != run {
			t.Fatalf("%v, %v", res, err)
		}
		r.calmWithin(3*time.Second, r.machines)
		r.ends(run, pb.Verdict_VERDICT_ABORTED)
		if detail := r.view().Run(run).GetEndDetail(); !strings.HasPrefix(detail, "guardrail not-b of the cluster: ") {
			t.Errorf("the run ended by %q", detail)
		}
	})
}
