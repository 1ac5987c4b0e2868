package sim

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// long takes zone-b's names for forty seconds, under a lease of five.
const long = `version: 1
name: long
zones: { dark: [zone-b] }
targets: { struck: { zone: dark } }
guardrails: { environments: [lab], max_runtime: 5m, lease: 5s }
timeline:
  - { at: T+0s, phase: nameless, faults: [ dns.fail: { target: struck, for: 40s } ] }
`

const lease = 5 * time.Second

// holding waits until a run holds.
func (r *region) holding(run string) {
	r.t.Helper()
	r.until("the run to hold", 30*time.Second, func() bool {
		return r.view().Run(run).GetState() == pb.RunState_RUN_STATE_HOLDING
	})
}

// struck are the hosts of zone-b.
func (r *region) struck() []*machine {
	return slices.DeleteFunc(slices.Clone(r.machines), func(m *machine) bool { return m.zone != "zone-b" })
}

func acts(m *machine) bool { return len(m.fake.Acting()) > 0 }

// calmWithin demands that nothing acts on the hosts any more after a while, and
// that everything acts until then where it must.
func (r *region) calmWithin(most time.Duration, hosts []*machine) {
	r.t.Helper()
	r.until("the end of the faults", most, func() bool { return !slices.ContainsFunc(hosts, acts) })
}

// notPassed waits for the end of a run and demands that it did not pass.
func (r *region) notPassed(run string) {
	r.t.Helper()
	r.until("the end of the run", 5*time.Minute, func() bool { return r.done(run) })
	if got := r.view().Run(run).GetVerdict(); got == pb.Verdict_VERDICT_PASS {
		r.t.Errorf("a run that lost its fault early passed")
	}
	r.checkPromises(run)
}

// TestServerCutOff cuts off each server in turn, whether it leads or follows:
// its agents change over, and the run notices nothing.
func TestServerCutOff(t *testing.T) {
	for _, who := range []int{0, 1, 2} {
		synctest.Test(t, func(t *testing.T) {
			r := newRegion(t, settings{})
			run := r.run(short)
			r.holding(run)
			r.servers[who].cutOff()
			time.Sleep(10 * time.Second)
			r.servers[who].rejoin()
			r.passes(run)
		})
	}
}

// TestServerThatIsBehindNeitherSendsNorRenews leaves a host nobody to talk to
// but a server that has not heard of the run that the host is in.
func TestServerThatIsBehindNeitherSendsNorRenews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		behind := r.servers[slices.IndexFunc(r.servers, func(c *control) bool { return c != r.leader() })]
		behind.cutOff()
		time.Sleep(5 * time.Second)
		run := r.run(short)
		r.holding(run)
		host := r.struck()[0]
		for _, c := range r.servers {
			if c != behind {
				r.net.cut(host.name, c.id)
			}
		}
		time.Sleep(3 * time.Second)
		if !acts(host) {
			t.Error("the host let go although its lease ran")
		}
		if behind.server.State().Run(run) != nil {
			t.Fatal("the server is not behind")
		}
		behind.rejoin()
		for _, c := range r.servers {
			r.net.heal(host.name, c.id)
		}
		r.passes(run)
	})
}

// TestOneServerThatAnswersIsEnough leaves a host one server of three, and that
// one out of touch for a while: the host must not wait for the silent two.
func TestOneServerThatAnswersIsEnough(t *testing.T) {
	for only := range 3 {
		synctest.Test(t, func(t *testing.T) {
			r := newRegion(t, settings{})
			host, kept := r.struck()[0], r.servers[only]
			for _, c := range r.servers {
				if c != kept {
					r.net.cut(host.name, c.id)
				}
			}
			kept.cutOff()
			time.Sleep(20 * time.Second)
			kept.rejoin()
			time.Sleep(20 * time.Second) // raft comes back to a server that was away within ten
			for range 60 {
				time.Sleep(time.Second)
				if got := r.view().Host(host.name).GetServer(); got != kept.id {
					t.Fatalf("the host is at server %q, want %s", got, kept.id)
				}
			}
		})
	}
}

// TestQuorumLostEndsFaultsAtTheLease kills two servers of three.
func TestQuorumLostEndsFaultsAtTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		run := r.run(long)
		r.holding(run)
		time.Sleep(5 * time.Second)
		dead := []*control{r.servers[0], r.servers[2]}
		for _, c := range dead {
			c.kill()
		}
		time.Sleep(lease / 2)
		for _, m := range r.struck() {
			if !acts(m) {
				t.Errorf("%s let go before its lease", m.name)
			}
		}
		// A server renews for a third of the lease after it last heard from a quorum.
		r.calmWithin(lease/2+lease/3+200*time.Millisecond, r.struck())
		for _, c := range dead {
			c.start()
		}
		r.notPassed(run)
	})
}

// TestZoneCutOffEndsItsFaultsAtTheLease cuts a zone's hosts from all servers.
func TestZoneCutOffEndsItsFaultsAtTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		run := r.run(long)
		r.holding(run)
		time.Sleep(5 * time.Second)
		for _, m := range r.struck() {
			for _, c := range r.servers {
				r.net.cut(m.name, c.id)
			}
		}
		r.calmWithin(lease+time.Second, r.struck())
		time.Sleep(10 * time.Second)
		for _, m := range r.struck() {
			for _, c := range r.servers {
				r.net.heal(m.name, c.id)
			}
		}
		r.notPassed(run)
	})
}

// TestHaltWithoutAQuorumEndsWhatItCan halts at the only server that is left:
// its hosts let go at once, the others at their lease, and the halt stands
// when the quorum is back.
func TestHaltWithoutAQuorumEndsWhatItCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		run := r.run(long)
		r.holding(run)
		time.Sleep(2 * time.Second)
		dead := []*control{r.servers[0], r.servers[1]}
		for _, c := range dead {
			c.kill()
		}
		time.Sleep(2500 * time.Millisecond) // hosts have changed over
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		res, err := r.user("s3").Halt(ctx, &pb.HaltRequest{Id: "h", Reason: "smoke", WaitNanos: int64(time.Second)})
		if err != nil || res.GetCommitted() {
			t.Errorf("halt without a quorum: %v, %v", res, err)
		}
		r.calmWithin(lease, r.struck())
		for _, c := range dead {
			c.start()
		}
		r.until("the halt to be committed", 20*time.Second, func() bool { return r.view().Halt().GetEngaged() })
		r.notPassed(run) // halted, or inconclusive when all had let go before the halt was committed
	})
}

// TestHaltReachesWhoComesLater halts at the only server that is left before
// hosts that had no stream there have found it.
func TestHaltReachesWhoComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		for _, m := range r.struck() {
			r.net.cut(m.name, "s3")
		}
		time.Sleep(10 * time.Second) // who was there changes over
		run := r.run(long)
		r.holding(run)
		dead := []*control{r.servers[0], r.servers[1]}
		for _, c := range dead {
			c.kill()
		}
		time.Sleep(1100 * time.Millisecond) // a killed server goes on for a second
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		user := r.user("s3")
		go user.Halt(ctx, &pb.HaltRequest{Id: "h", Reason: "smoke"}) //nolint:errcheck // it waits for a quorum in vain
		synctest.Wait()
		for _, m := range r.struck() {
			r.net.heal(m.name, "s3")
		}
		r.calmWithin(lease/2, r.struck())
		for _, c := range dead {
			c.start()
		}
		r.notPassed(run)
	})
}

// replays is an agent's stream on which orders come late and again.
type replays struct {
	grpc.ClientStream
	mu     sync.Mutex // guards all below
	random *rand.Rand
	past   []*pb.SessionResponse
	queue  []*pb.SessionResponse
}

// RecvMsg gives what the server says, and after an order now and then orders
// of the past.
func (s *replays) RecvMsg(m any) error {
	if old := s.next(); old != nil {
		proto.Merge(m.(*pb.SessionResponse), old)
		return nil
	}
	if err := s.ClientStream.RecvMsg(m); err != nil {
		return err
	}
	s.keep(m.(*pb.SessionResponse))
	return nil
}

func (s *replays) next() *pb.SessionResponse {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return nil
	}
	old := s.queue[0]
	s.queue = s.queue[1:]
	return old
}

func (s *replays) keep(m *pb.SessionResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.GetOrder() != nil {
		s.past = append(s.past, proto.CloneOf(m))
	}
	for range 3 {
		if len(s.past) > 0 {
			s.queue = append(s.queue, s.past[s.random.IntN(len(s.past))])
		}
	}
}

// replaying replays on every session, each with its own seed.
func replaying() grpc.DialOption {
	var seed atomic.Uint64
	return grpc.WithStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc, c *grpc.ClientConn, method string, streamer grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
		s, err := streamer(ctx, d, c, method, o...)
		if err != nil || !strings.HasSuffix(method, "Session") {
			return s, err
		}
		return &replays{ClientStream: s, random: rand.New(rand.NewPCG(seed.Add(1), 1))}, nil
	})
}

func TestLateAndRepeatedOrdersChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{dial: []grpc.DialOption{replaying()}})
		r.passes(r.run(short))
	})
}

// TestClocksThatDifferMoveNothing runs servers whose wall clocks are hours
// apart, and kills the first leader: what it set still happens when it said.
func TestClocksThatDifferMoveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{skew: []time.Duration{time.Hour, -3 * time.Hour, 90 * time.Second}})
		run := r.run(long)
		r.holding(run)
		r.until("the start", 3*time.Second, func() bool { return acts(r.struck()[0]) })
		began := time.Now()
		r.leader().kill()
		var starts []time.Time
		for _, m := range r.struck() {
			starts = append(starts, m.starts()...)
		}
		if len(starts) != len(r.struck()) {
			t.Fatalf("%d starts on %d hosts", len(starts), len(r.struck()))
		}
		for _, s := range starts {
			if off := s.Sub(starts[0]).Abs(); off > time.Millisecond {
				t.Errorf("hosts start %v apart", off)
			}
			if off := s.Sub(began).Abs(); off > 20*time.Millisecond {
				t.Errorf("the start lies %v off", off)
			}
		}
		r.calmWithin(time.Minute, r.struck())
		if lasted := time.Since(starts[0]); (lasted - 40*time.Second).Abs() > 50*time.Millisecond {
			t.Errorf("the fault lasted %v", lasted)
		}
		r.passes(run)
	})
}

// starts are the instants at which what was attached begins to act.
func (m *machine) starts() []time.Time {
	var out []time.Time
	for _, e := range m.fake.Events() {
		if d := e.Op.GetDropDns(); d != nil && e.What == "attach" {
			out = append(out, time.Now().Add(time.Duration(d.GetGate().GetStartBootNanos())-m.fake.Boot()))
		}
	}
	return out
}
