package sim

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	pb "squall/proto/squall/v1"
	"squall/server/conduct"
	"squall/server/report"
	"squall/server/state"
)

// oneHost fails the names of one host, watched by an abort rule.
const oneHost = `version: 1
name: one
targets: { struck: { host: %s } }
guardrails: { environments: [lab], max_runtime: 5m, lease: 10s }
probes:
  names: { every: 1s, timeout: 1s, from: struck, dns: shop.test }
timeline:
  - { at: T+0s, phase: nameless, faults: [ dns.fail: { target: struck, for: 10s } ] }
  - { at: T+6s, phase: deep, until: T+12s }
abort: [ { name: blind, when: names.age > 10, for: 3s } ]
revert: { timeout: 20s }
`

// TestManyRunsAtOnceDoNotWaitForASlowOne plays 64 runs, one of which takes two
// seconds to judge at each look. Every other one's phases begin when they are
// due, and its faults end in time.
func TestManyRunsAtOnceDoNotWaitForASlowOne(t *testing.T) {
	const most = 64
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Pointer[string]
		r := newRegion(t, settings{more: most - 2, timing: calm(), decide: func(d *conduct.Decider, now time.Time, v *state.View, run string) conduct.Decision {
			if id := slow.Load(); id != nil && *id == run {
				time.Sleep(2 * time.Second)
			}
			return d.Decide(now, v, run)
		}})
		var runs []string
		for _, m := range r.machines {
			if m.zone == "zone-b" {
				runs = append(runs, r.run(fmt.Sprintf(oneHost, m.name)))
				slow.CompareAndSwap(nil, &runs[0])
			}
		}
		if len(runs) != most {
			t.Fatalf("%d runs", len(runs))
		}
		for _, run := range runs {
			r.until("the end of "+run, 5*time.Minute, func() bool { return r.done(run) })
			if run != runs[0] {
				r.onTime(run)
			}
		}
		for _, m := range r.machines {
			r.checkEnds(m)
		}
	})
}

// onTime demands that a run's phases were told when they began, and a pass.
func (r *region) onTime(run string) {
	r.t.Helper()
	v := r.view().Run(run)
	if v.GetVerdict() != pb.Verdict_VERDICT_PASS {
		r.t.Fatalf("%s: %v by %v %q: %v", run, v.GetVerdict(), v.GetEndCause(), v.GetEndDetail(), v.GetFindings())
	}
	entered := v.GetEnteredUnixNanos()
	fired, holds := entered[uint32(pb.RunState_RUN_STATE_FIRED)], entered[uint32(pb.RunState_RUN_STATE_HOLDING)]
	if took := time.Duration(holds - fired); took > time.Second {
		r.t.Errorf("%s: %v from firing to holding", run, took)
	}
	for _, s := range report.Run(r.view(), run).GetSteps() {
		if off := time.Duration(s.GetLate().GetMax()); off > late {
			r.t.Errorf("%s: reverted %v late", run, off)
		}
	}
}

// TestAgentThatFloodsHarmsOnlyItself lets one agent say as much as it can while
// a run goes on, and before.
func TestAgentThatFloodsHarmsOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		stop := r.flood("flood-1", r.follower().id)
		defer stop()
		r.until("the flood", time.Minute, func() bool { return r.view().Host("flood-1").GetServer() != "" })
		r.passes(r.run(short))
	})
}

// flood is an agent that reports ends of runs that don't exist, eight megabytes
// a second of them, until it is stopped.
func (r *region) flood(name, server string) (stop func()) {
	r.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+server,
		grpc.WithTransportCredentials(credentials.NewTLS(r.bundle(pb.Role_ROLE_AGENT, name).ClientTLS())),
		grpc.WithContextDialer(r.net.dialer(name)))
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil { // a server may end the session; it comes again
			_ = floodOnce(ctx, pb.NewAgentServiceClient(conn), name)
			time.Sleep(100 * time.Millisecond)
		}
	}()
	return func() {
		cancel()
		<-done
		_ = conn.Close()
	}
}

func floodOnce(ctx context.Context, c pb.AgentServiceClient, name string) error {
	session, err := c.Session(ctx)
	if err != nil {
		return err
	}
	hello := &pb.Hello{Host: &pb.Host{Name: name, Zone: "zone-f", Environment: "lab"}, BootId: "boot"}
	err = session.Send(&pb.SessionRequest{Kind: &pb.SessionRequest_Hello{Hello: hello}})
	text := strings.Repeat("x", 64<<10)
	for n := 0; err == nil; n++ {
		words := &pb.Report{}
		for i := range 8 {
			words.Steps = append(words.Steps, &pb.StepStatus{
				Run: fmt.Sprint("nobody's ", n), Step: fmt.Sprint(i), State: pb.StepState_STEP_STATE_REVERTED, Residue: []string{text},
			})
		}
		err = session.Send(&pb.SessionRequest{Kind: &pb.SessionRequest_Report{Report: words}})
		time.Sleep(60 * time.Millisecond)
	}
	return err
}
