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

func TestHostIsLostAWhileAfterItsStream(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		if h := r.host("a"); h.GetServer() != "s1" || h.GetBootId() != "boot" || h.GetVersion() != "1" {
			t.Errorf("registered as %v", h)
		}
		a.stop()
		time.Sleep(Grace - time.Second)
		if r.host("a").GetServer() == "" {
			t.Error("lost at once")
		}
		b := r.join("a") // back in time
		time.Sleep(2 * Grace)
		b.ping(nil)
		if r.host("a").GetServer() != "s1" {
			t.Error("lost although it is back")
		}
		b.stop()
		time.Sleep(Grace + 2*sweepEvery)
		if h := r.host("a"); h.GetServer() != "" || h.GetHost().GetPresence() != pb.Presence_PRESENCE_LOST {
			t.Errorf("is %v", h)
		}
	})
}

func TestSilentAgentIsDropped(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		for range 15 {
			time.Sleep(time.Second)
			a.ping(nil)
		}
		if err := a.ended(); err != nil {
			t.Fatalf("one that pings: %v", err)
		}
		time.Sleep(10*time.Second + 2*sweepEvery)
		if err := a.ended(); !errors.Is(err, errSilent) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestNewerSessionTakesTheHost(t *testing.T) {
	inBubble(t, func(r *rig) {
		old := r.join("a")
		first := r.host("a").GetSession()
		r.join("a", func(h *pb.Hello) { h.BootId = "rebooted"; h.Instance = "2" })
		if err := old.ended(); !errors.Is(err, errSuperseded) {
			t.Errorf("the older ended with %v", err)
		}
		if h := r.host("a"); h.GetSession() <= first || h.GetBootId() != "rebooted" {
			t.Errorf("is %v", h)
		}
	})
}

func TestSessionOnAnotherServerEndsTheOneHere(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		r.must(update(&pb.HostUpdate{Name: "a", Server: "s2", Session: r.host("a").GetSession() + 5}))
		time.Sleep(2 * sweepEvery)
		if err := a.ended(); !errors.Is(err, errSuperseded) {
			t.Errorf("ended with %v", err)
		}
		if r.host("a").GetServer() != "s2" {
			t.Error("the older session took it back")
		}
	})
}

func update(u ...*pb.HostUpdate) *pb.Command {
	return &pb.Command{Kind: &pb.Command_UpdateHosts{UpdateHosts: &pb.UpdateHosts{Hosts: u}}}
}

func TestRegistryIsToldAgainUntilItAgrees(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.set(func() { r.down = errors.New("no leader") })
		a := r.join("a")
		time.Sleep(3 * sweepEvery)
		if r.host("a") != nil {
			t.Fatal("known without a commit")
		}
		r.set(func() { r.down = nil })
		time.Sleep(3 * sweepEvery)
		if r.host("a").GetServer() != "s1" {
			t.Error("not told again")
		}
		a.say(&pb.SessionRequest{Kind: &pb.SessionRequest_Host{Host: &pb.Host{Name: "a", Zone: "zone-b"}}})
		if z := r.host("a").GetHost().GetZone(); z != "zone-b" {
			t.Errorf("described anew, it stands in %q", z)
		}
		a.say(&pb.SessionRequest{Kind: &pb.SessionRequest_Host{Host: &pb.Host{Name: "b", Zone: "zone-b"}}})
		if err := a.ended(); status.Code(err) != codes.PermissionDenied {
			t.Errorf("described as another host, ended with %v", err)
		}
	})
}

func TestRoundTripIsToldWhenItChanges(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		ping := func(trip time.Duration) int64 {
			a.say(&pb.SessionRequest{Kind: &pb.SessionRequest_Ping{Ping: &pb.Ping{RoundTripNanos: int64(trip)}}})
			time.Sleep(2 * sweepEvery)
			return r.host("a").GetRoundTripNanos()
		}
		if got := ping(time.Millisecond); got != 1e6 {
			t.Errorf("the first: %d", got)
		}
		if got := ping(1500 * time.Microsecond); got != 1e6 {
			t.Errorf("half as much again is no news: %d", got)
		}
		if got := ping(5 * time.Millisecond); got != 5e6 {
			t.Errorf("five times as much: %d", got)
		}
	})
}

func TestHostsOfAServerThatIsGoneAreLost(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.must(update(&pb.HostUpdate{Name: "x", Server: "s2", Session: 1, Host: &pb.Host{Name: "x", Zone: "z"}}))
		time.Sleep(5 * time.Second)
		if r.host("x").GetServer() != "s2" {
			t.Fatal("lost while its server is there")
		}
		r.set(func() { r.gone["s2"] = true })
		time.Sleep(2 * sweepEvery)
		if r.host("x").GetServer() != "" {
			t.Error("not lost with its server")
		}
	})
}

func TestHostsOfBeforeARestartAreLostIfTheyDoNotComeBack(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.must(update(
			&pb.HostUpdate{Name: "back", Server: "s1", Session: 1, Host: &pb.Host{Name: "back", Zone: "z"}},
			&pb.HostUpdate{Name: "away", Server: "s1", Session: 1, Host: &pb.Host{Name: "away", Zone: "z"}},
		))
		b := r.join("back", func(h *pb.Hello) { h.Host.Zone = "z" })
		for range 6 {
			time.Sleep(time.Second)
			b.ping(nil)
		}
		if r.host("back").GetServer() != "s1" || r.host("away").GetServer() != "" {
			t.Errorf("back is %v, away is %v", r.host("back"), r.host("away"))
		}
	})
}

func TestFleetThatComesAtOnceIsFewCommands(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.set(func() { r.down = errors.New("no leader") })
		for _, h := range names(600) {
			r.join(h)
		}
		r.set(func() { r.down = nil; r.commands = nil })
		time.Sleep(3 * sweepEvery)
		if n := len(r.machine.View().Hosts()); n != 600 {
			t.Errorf("%d hosts are known", n)
		}
		if bytes, _ := r.largest(); len(r.commands) > 12 || bytes > 2*batchBytes {
			t.Errorf("%d commands, the largest of %d bytes", len(r.commands), bytes)
		}
	})
}

// TestSecondMachineOfOneNameIsTurnedAway: two machines with one certificate
// take the session from each other, until it is known that they are two.
func TestSecondMachineOfOneNameIsTurnedAway(t *testing.T) {
	inBubble(t, func(r *rig) {
		as := func(instance string) func(*pb.Hello) { return func(h *pb.Hello) { h.Instance = instance } }
		r.join("a", as("one"))
		second := r.join("a", as("two"))
		if r.host("a").GetConflict() != nil {
			t.Fatal("a restart is taken for a second machine")
		}
		first := r.join("a", as("one"))
		if err := second.ended(); !errors.Is(err, errSuperseded) {
			t.Fatalf("the second ended with %v", err)
		}
		if r.host("a").GetConflict().GetInstance() != "two" {
			t.Fatalf("two machines are not told apart: %v", r.host("a"))
		}
		for range 100 {
			if err := r.join("a", as("two")).ended(); !errors.Is(err, errConflict) || !strings.Contains(err.Error(), "another machine") {
				t.Fatalf("the second ended with %v", err)
			}
			first.ping(nil)
			time.Sleep(time.Second)
		}
		if err := first.ended(); err != nil || r.host("a").GetConflict() == nil {
			t.Errorf("after a hundred seconds of both: %v, %v", err, r.host("a"))
		}
		r.join("b")
		first.report(stepOn("none", held))
		refused, err := r.propose(t.Context(), &pb.Command{Kind: &pb.Command_AdmitRun{AdmitRun: &pb.AdmitRun{
			Run: "r", Experiment: &pb.Experiment{Name: "x"}, Plan: onto("a"),
		}}})
		if err != nil || refused.GetRefused().GetRefusal() != pb.Refusal_REFUSAL_HOST {
			t.Errorf("a run on it: %v, %v", refused, err)
		}
		for range 65 { // the second machine is stopped
			time.Sleep(time.Second)
			first.ping(nil)
		}
		if c := r.host("a").GetConflict(); c != nil {
			t.Errorf("a minute later the conflict stands: %v", c)
		}
		r.admit("r", "a")
		if got := heard(first, orders); len(got) == 0 || len(got[len(got)-1].GetTasks()) != 1 {
			t.Errorf("it is given %v", got)
		}
	})
}

// onto is the least plan on some hosts.
func onto(hosts ...string) *pb.Plan {
	step := &pb.PlannedStep{Id: "s", Fault: &pb.Fault{Kind: &pb.Fault_DnsFail{DnsFail: &pb.DNSFail{}}}}
	for _, h := range hosts {
		step.Slots = append(step.Slots, &pb.HostSlot{Host: h, DeadlineNanos: 1e9})
	}
	return &pb.Plan{Steps: []*pb.PlannedStep{step}, DeadlineNanos: 1e9, LeaseNanos: 10e9}
}

func TestLostConflictIsFoundOnAnyServer(t *testing.T) {
	inBubble(t, func(r *rig) {
		described := &pb.Host{Name: "a", Zone: "zone-a"}
		for i, instance := range []string{"one", "two", "one"} {
			r.must(update(&pb.HostUpdate{Name: "a", Host: described, Server: fmt.Sprint("s", 2+i%2), Session: uint64(i + 1), Instance: instance}))
		}
		if err := r.join("a", func(h *pb.Hello) { h.Instance = "two" }).ended(); !errors.Is(err, errConflict) {
			t.Errorf("the second machine, on a third server: %v", err)
		}
	})
}
