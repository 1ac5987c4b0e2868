package sim

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// past is what servers ever ordered of one host, and who orders it again.
type past struct {
	mu     sync.Mutex // guards all below
	random *rand.Rand
	orders []*pb.SessionResponse
}

// add keeps an order, and gives three of the past to be said again.
func (p *past) add(m *pb.SessionResponse) []*pb.SessionResponse {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.GetOrder() != nil {
		p.orders = append(p.orders, proto.CloneOf(m))
	}
	var again []*pb.SessionResponse
	for range min(3, len(p.orders)) {
		again = append(again, p.orders[p.random.IntN(len(p.orders))])
	}
	return again
}

// replays is an agent's stream on which orders come late and again: those that
// it carried itself, and those of streams to other servers before it.
type replays struct {
	grpc.ClientStream
	past  *past
	queue []*pb.SessionResponse // read by one goroutine alone
}

// RecvMsg gives what the server says, and after it orders of the past.
func (s *replays) RecvMsg(m any) error {
	if len(s.queue) > 0 {
		proto.Merge(m.(*pb.SessionResponse), s.queue[0])
		s.queue = s.queue[1:]
		return nil
	}
	if err := s.ClientStream.RecvMsg(m); err != nil {
		return err
	}
	s.queue = s.past.add(m.(*pb.SessionResponse))
	return nil
}

// replaying replays on every session of a host, each host with its own seed.
func replaying(host string) []grpc.DialOption {
	var seed uint64
	for _, c := range host {
		seed = seed<<8 + uint64(c)
	}
	before := &past{random: rand.New(rand.NewPCG(seed, 1))}
	return []grpc.DialOption{grpc.WithStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc, c *grpc.ClientConn, method string, streamer grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
		s, err := streamer(ctx, d, c, method, o...)
		if err != nil || !strings.HasSuffix(method, "Session") {
			return s, err
		}
		return &replays{ClientStream: s, past: before}, nil
	})}
}

func TestLateAndRepeatedOrdersChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{dial: replaying})
		r.passes(r.run(short))
	})
}

// TestOrdersOfADeadLeaderChangeNothing kills whoever leads, again and again:
// what dead leaders ordered still comes on the streams to the living.
func TestOrdersOfADeadLeaderChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{dial: replaying})
		r.outlives(r.run(short))
	})
}

// endsSoon tells whether a step of a run ends on a host by plan in less time than
// what the judge grants: 250 ms.
func (r *region) endsSoon(run, host string) bool {
	is := r.view().Run(run)
	now := time.Now().UnixNano() - is.GetT0UnixNanos()
	for _, step := range is.GetPlan().GetSteps() {
		for _, slot := range step.GetSlots() {
			if left := slot.GetEndNanos() - now; slot.GetHost() == host && left >= 0 && left <= int64(250*time.Millisecond) {
				return true
			}
		}
	}
	return false
}

// TestWorkerThatDiesInjectsNothingTwice lets the worker of one host die while
// its order still lists the steps, and all that was ever ordered comes again.
func TestWorkerThatDiesInjectsNothingTwice(t *testing.T) {
	rounds := 24
	if testing.Short() {
		rounds = 6
	}
	random := rand.New(rand.NewPCG(20190824, 1))
	for range rounds {
		after := time.Duration(random.Int64N(int64(28 * time.Second)))
		t.Run(after.Round(time.Millisecond).String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRegion(t, settings{dial: replaying})
				run := r.run(short)
				time.Sleep(after)
				host := r.struck()[0]
				held := acts(host) && !r.endsSoon(run, host.name)
				host.dies()
				r.until("the end of the run", 5*time.Minute, func() bool { return r.done(run) })
				if got := r.view().Run(run).GetVerdict(); held && got == pb.Verdict_VERDICT_PASS {
					t.Error("a run that lost its fault early passed")
				}
				r.checkPromises(run)
				r.agree(run)
			})
		})
	}
}
