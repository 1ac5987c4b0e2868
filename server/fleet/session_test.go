package fleet

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "squall/proto/squall/v1"
)

func TestSessionBeginsWithAHello(t *testing.T) {
	inBubble(t, func(r *rig) {
		silent := r.dial("a")
		time.Sleep(helloTime + time.Millisecond)
		if err := silent.ended(); !errors.Is(err, errNoHello) {
			t.Errorf("a stream that says nothing: %v", err)
		}
		rude := r.dial("b")
		rude.report()
		if err := rude.ended(); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("a stream that begins with a report: %v", err)
		}
		late := r.join("c")
		time.Sleep(helloTime + time.Millisecond)
		if err := late.ended(); err != nil {
			t.Errorf("one that greeted: %v", err)
		}
	})
}

func TestAgentsDescriptionIsChecked(t *testing.T) {
	for name, c := range map[string]struct {
		code   codes.Code
		change func(*pb.Hello)
	}{
		"another host's name": {codes.PermissionDenied, func(h *pb.Hello) { h.Host.Name = "b" }},
		"a zone of no name":   {codes.InvalidArgument, func(h *pb.Hello) { h.Host.Zone = "Zone A" }},
		"too much of it":      {codes.ResourceExhausted, func(h *pb.Hello) { h.Host.Undeclared = make([]string, maxHost) }},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				if err := r.join("a", c.change).ended(); status.Code(err) != c.code {
					t.Errorf("ended with %v", err)
				}
				if r.host("a") != nil {
					t.Error("the host is registered")
				}
			})
		})
	}
}

func TestMessageThatIsTooLargeEndsTheSession(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		a.report(&pb.StepStatus{Residue: []string{strings.Repeat("x", maxMessage)}})
		if err := a.ended(); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestLeaseNeedsAQuorumBehindTheServer(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		if p := a.ping(nil); !p.GetRenewed() || p.GetSentBootNanos() != 7 || p.GetTerm() != 3 || p.GetClusterUnixNanos() != time.Now().UnixNano() {
			t.Errorf("answered %v", p)
		}
		for age, want := range map[time.Duration]string{
			-1:              "no leader has confirmed",
			4 * time.Second: "the last word from a leader is 4s old",
		} {
			r.set(func() { r.age = age })
			if p := a.ping(nil); p.GetRenewed() || !strings.Contains(p.GetWhyNot(), want) {
				t.Errorf("at age %s, answered %v", age, p)
			}
		}
	})
}

func TestLeaseOfATaskIsTheShortest(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		r.set(func() { r.age = 3 * time.Second })
		if p := a.ping(nil); !p.GetRenewed() {
			t.Errorf("a third of ten seconds is more than three: %v", p)
		}
		r.admit("r", "a") // with a lease of six
		if p := a.ping(nil); p.GetRenewed() {
			t.Error("a third of six seconds is less than three")
		}
	})
}

func TestServerBehindTheAgentNeitherSendsNorRenews(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a", func(h *pb.Hello) { h.Order = &pb.OrderMark{Epoch: 1, Index: 90} })
		if p := a.ping(nil); p.GetRenewed() || !strings.Contains(p.GetWhyNot(), "behind the host's order 1/90") {
			t.Errorf("answered %v", p)
		}
		r.admit("r", "a")
		if n := len(heard(a, orders)); n != 0 {
			t.Errorf("%d orders were sent", n)
		}
		r.set(func() { r.index = 100 })
		r.admit("later", "a")
		got := heard(a, orders)
		if len(got) != 1 || len(got[0].GetTasks()) != 2 {
			t.Errorf("having caught up, sent %v", got)
		}
		if p := a.ping(nil); !p.GetRenewed() {
			t.Errorf("answered %v", p)
		}
	})
}

func TestOrdersOnlyMoveForward(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		r.admit("r", "a")
		sent := heard(a, orders)
		newest := sent[len(sent)-1]
		r.f.Deliver(map[string]*pb.Order{"a": {Epoch: 1, Index: newest.GetIndex() - 1}, "nobody": {}})
		r.f.Deliver(map[string]*pb.Order{"a": newest})
		if again := heard(a, orders); len(again) != 0 {
			t.Errorf("sent %v again", again)
		}
		ahead := &pb.Order{Epoch: 1, Index: newest.GetIndex() + 50}
		r.f.Deliver(map[string]*pb.Order{"a": ahead})
		if got := heard(a, orders); len(got) != 1 || got[0].GetIndex() != ahead.GetIndex() {
			t.Errorf("the leader's word, ahead of this server's log: %v", got)
		}
		r.admit("r2", "a") // this server's own state is behind that
		if got := heard(a, orders); len(got) != 0 {
			t.Errorf("sent %v", got)
		}
	})
}

func TestStandbyGetsNoOrdersUntilItIsUsed(t *testing.T) {
	inBubble(t, func(r *rig) {
		standby := func(h *pb.Hello) { h.Standby = true }
		r.join("b")
		a := r.join("a", standby)
		r.admit("r", "b")
		if n := len(heard(a, orders)); n != 0 || r.host("a") != nil {
			t.Errorf("%d orders, host %v", n, r.host("a"))
		}
		if p := a.ping(nil); p.GetRenewed() || p.GetWhyNot() != "this is the standby stream" {
			t.Errorf("answered %v", p)
		}
		r.f.Alarm(&pb.HaltLatch{Id: "h", Engaged: true})
		if got := heard(a, halts); len(got) != 1 {
			t.Error("a halt is not told to a standby")
		}
		a.greet()
		if r.host("a").GetServer() != "s1" || len(heard(a, orders)) != 1 || !a.ping(nil).GetRenewed() {
			t.Errorf("the stream in use: host %v", r.host("a"))
		}
	})
}

func TestHaltsReachThoseWhoAreThereAndThoseWhoCome(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		if told := r.f.Alarm(&pb.HaltLatch{Id: "h", Engaged: true}); fmt.Sprint(told) != "[a]" {
			t.Errorf("told %v", told)
		}
		r.set(func() { r.halts = []*pb.HaltLatch{{Id: "h", Engaged: true}} })
		late := r.join("b", func(h *pb.Hello) { h.Halt = &pb.HaltLatch{Id: "mine", Engaged: true} })
		for _, who := range []*agent{a, late} {
			if got := heard(who, halts); len(got) != 1 || got[0].GetId() != "h" {
				t.Errorf("%s heard %v", who.host, got)
			}
		}
		r.join("c", func(h *pb.Hello) { h.Halt = &pb.HaltLatch{Id: "local", Engaged: true, Local: true} })
		if len(r.heard) != 1 || r.heard[0].GetId() != "mine" {
			t.Errorf("brought along: %v", r.heard)
		}
	})
}

// TestAddressSetsTravelOnDemand, each once and by itself: one may hold a region.
func TestAddressSetsTravelOnDemand(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		r.admit("r", "a")
		r.admit("q", "a")
		a.say(&pb.SessionRequest{Kind: &pb.SessionRequest_NeedSets{NeedSets: &pb.NeedSets{Digest: []string{"r-set", "q-set", "r-set", "unknown"}}}})
		got := heard(a, func(m *pb.SessionResponse) (*pb.AddressSets, bool) {
			return m.GetAddressSets(), m.GetAddressSets() != nil
		})
		if len(got) != 2 || len(got[0].GetSets()) != 1 || got[0].GetSets()[0].GetDigest() != "r-set" || got[1].GetSets()[0].GetDigest() != "q-set" {
			t.Errorf("answered %v", got)
		}
	})
}

// TestAddressSetIsSentWhenItIsKnown: the order that names it came ahead of this
// server's state.
func TestAddressSetIsSentWhenItIsKnown(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		a.say(&pb.SessionRequest{Kind: &pb.SessionRequest_NeedSets{NeedSets: &pb.NeedSets{Digest: []string{"r-set"}}}})
		r.admit("r", "a")
		got := heard(a, func(m *pb.SessionResponse) (*pb.AddressSets, bool) {
			return m.GetAddressSets(), m.GetAddressSets() != nil
		})
		if len(got) != 1 || got[0].GetSets()[0].GetDigest() != "r-set" {
			t.Errorf("sent %v", got)
		}
	})
}

func TestClosingAFleetSendsAgentsElsewhere(t *testing.T) {
	inBubble(t, func(r *rig) {
		a, b := r.join("a"), r.join("b", func(h *pb.Hello) { h.Standby = true })
		r.f.Close()
		for _, who := range []*agent{a, b} {
			if err := who.ended(); !errors.Is(err, errStopping) {
				t.Errorf("%s ended with %v", who.host, err)
			}
		}
	})
}
