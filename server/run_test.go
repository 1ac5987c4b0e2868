package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"squall/proto/parts"
	pb "squall/proto/squall/v1"
)

func TestRunGoesFromPlanToVerdictThroughFollowers(t *testing.T) {
	r := newRegion(t)
	agents := r.hosts()
	user := r.user(r.follower())
	res, err := user.Run(within(t, enough), &pb.RunRequest{Id: "one", Source: source("2s"), File: "dark.yaml"})
	if err != nil || len(res.GetRefused()) > 0 {
		t.Fatalf("run: %v, %v", err, res.GetRefused())
	}
	again, err := user.Run(within(t, enough), &pb.RunRequest{Id: "one", Source: source("2s"), File: "dark.yaml"})
	if err != nil || again.GetRun() != res.GetRun() || len(again.GetRefused()) > 0 {
		t.Errorf("the same request again: %v, %v", again, err)
	}
	for _, host := range []string{"web-b1", "web-b2"} {
		go agents[host].obey(host, true)
	}
	stream, err := user.Watch(within(t, enough), &pb.WatchRequest{Run: res.GetRun()})
	if err != nil {
		t.Fatal(err)
	}
	var last *pb.Event
	for {
		m, err := stream.Recv()
		if err != nil {
			break
		}
		last = m.GetEvent()
	}
	if last.GetKind() != pb.EventKind_EVENT_KIND_VERDICT && last.GetState() != pb.RunState_RUN_STATE_DONE {
		t.Errorf("the story ends with %v", last)
	}
	report, err := parts.Ask[pb.RunReport](within(t, enough), user.Report, &pb.ReportRequest{Run: res.GetRun()})
	if err != nil || report.GetSummary().GetState() != pb.RunState_RUN_STATE_DONE {
		t.Errorf("report: %v, %v", report.GetSummary(), err)
	}
}

// TestRequestsIdIsOneRuns asks for another run under an id that was used: no run
// is named that does not exist.
func TestRequestsIdIsOneRuns(t *testing.T) {
	r := newRegion(t)
	r.hosts()
	user := r.user(r.servers[0])
	first, err := user.Run(within(t, enough), &pb.RunRequest{Id: "one", Source: source("2s")})
	if err != nil || len(first.GetRefused()) > 0 {
		t.Fatal(err, first.GetRefused())
	}
	other := []byte(strings.ReplaceAll(strings.ReplaceAll(string(source("2s")), "name: dark", "name: other"), "zone-b", "zone-c"))
	if res, err := user.Run(within(t, enough), &pb.RunRequest{Id: "one", Source: other}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("the id of %s is taken for %v, %v", first.GetRun(), res, err)
	}
}

func TestRequestsIdIsShort(t *testing.T) {
	r := newRegion(t)
	r.hosts()
	for _, id := range []string{"", strings.Repeat("x", 129), "one\nof two lines"} {
		res, err := r.user(r.servers[0]).Run(within(t, enough), &pb.RunRequest{Id: id, Source: source("2s")})
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("id %q: %v, %v", id, res, err)
		}
	}
}

// TestHostsAreFreeWhenUndoReturns asks each time through another server, whose
// own state may be behind.
func TestHostsAreFreeWhenUndoReturns(t *testing.T) {
	r := newRegion(t)
	agents := r.hosts() // all on the first server
	for _, host := range []string{"web-b1", "web-b2"} {
		go agents[host].obey(host, false)
	}
	for n := range 5 {
		res, err := r.user(r.servers[(n+1)%len(r.servers)]).Run(within(t, enough),
			&pb.RunRequest{Id: fmt.Sprint(n), Source: source("1m")})
		if err != nil || len(res.GetRefused()) > 0 {
			t.Fatalf("run %d: %v, %v", n, err, res.GetRefused())
		}
		r.wait("the run to hold", func() bool {
			return r.leader().State().Run(res.GetRun()).GetState() == pb.RunState_RUN_STATE_HOLDING
		})
		undo, err := r.user(r.servers[n%len(r.servers)]).Undo(within(t, enough),
			&pb.UndoRequest{Run: res.GetRun(), WaitNanos: int64(enough / 2)})
		if err != nil || len(undo.GetHosts()) != 2 {
			t.Fatalf("undo %d: %v, %v", n, err, undo)
		}
	}
}

// TestUndoOfAllGoesOnWhereARunIsGone ends a run that the leader forgot since undo
// listed it: no error keeps it from those that come after.
func TestUndoOfAllGoesOnWhereARunIsGone(t *testing.T) {
	r := newRegion(t)
	d := controlDoor{Server: r.follower().Server}
	if ended, err := d.endRun(within(t, enough), "gone", ""); ended || err != nil {
		t.Errorf("ended %v, %v", ended, err)
	}
}

// hosts connects six agents to the first server and waits until they are known.
func (r *region) hosts() map[string]*agent {
	r.t.Helper()
	r.leader()
	agents := make(map[string]*agent)
	for _, name := range []string{"web-a1", "web-a2", "web-b1", "web-b2", "web-c1", "web-c2"} {
		agents[name] = r.agent(r.servers[0], name, "zone-"+name[4:5])
	}
	r.wait("six hosts", func() bool { return len(r.leader().State().Hosts()) == 6 })
	return agents
}

// running starts a run and waits until it holds.
func (r *region) running(user pb.ControlServiceClient, agents map[string]*agent) string {
	r.t.Helper()
	for _, host := range []string{"web-b1", "web-b2"} {
		go agents[host].obey(host, false)
	}
	res, err := user.Run(within(r.t, enough), &pb.RunRequest{Id: "one", Source: source("1m")})
	if err != nil || len(res.GetRefused()) > 0 {
		r.t.Fatalf("run: %v, %v", err, res.GetRefused())
	}
	for _, u := range r.servers {
		r.wait("the run to hold", func() bool {
			return u.State().Run(res.GetRun()).GetState() == pb.RunState_RUN_STATE_HOLDING
		})
	}
	return res.GetRun()
}

// obey is an agent that does at once what orders and halts say; with ends it
// also ends steps by itself.
func (a *agent) obey(host string, ends bool) {
	key := func(t *pb.Task) string { return t.GetRun() + "/" + t.GetStep() }
	held, done := make(map[string]*pb.Task), make(map[string]bool)
	revert := func(t *pb.Task) {
		delete(held, key(t))
		done[key(t)] = true
		a.report(t.GetRun(), t.GetStep(), host, pb.StepState_STEP_STATE_REVERTED)
	}
	for {
		select {
		case <-a.stream.Context().Done():
			return
		case <-a.halt:
			for _, t := range held {
				revert(t)
			}
		case o := <-a.order:
			listed := make(map[string]bool)
			for _, t := range o.GetTasks() {
				listed[key(t)] = true
				switch {
				case done[key(t)]:
				case held[key(t)] == nil:
					held[key(t)] = t
					a.report(t.GetRun(), t.GetStep(), host, pb.StepState_STEP_STATE_READY)
				case t.GetFire() && !held[key(t)].GetFire():
					held[key(t)] = t
					a.report(t.GetRun(), t.GetStep(), host, pb.StepState_STEP_STATE_ARMED)
					if ends {
						time.Sleep(time.Until(time.Unix(0, t.GetEndUnixNanos())))
						revert(t)
					}
				}
			}
			for step, t := range held {
				if !listed[step] {
					revert(t)
				}
			}
		}
	}
}

// TestBigCommandGoesByWayOfAFollower: what is more than one message may hold
// travels in parts. The race detector looks at each byte that is copied and lets
// nothing else run meanwhile, heartbeats neither, so that these servers have
// even more patience with one another.
func TestBigCommandGoesByWayOfAFollower(t *testing.T) {
	timing := calm()
	timing.Heartbeat, timing.Lease = 2*time.Second, 2*time.Second
	r := newRegionWith(t, timing)
	r.leader()
	g := &pb.Guardrails{}
	for range 100 {
		g.Protect = append(g.Protect, "role="+strings.Repeat("x", 50_000))
	}
	outcome, err := r.follower().Propose(within(t, enough), &pb.Command{
		Id: "big", Kind: &pb.Command_SetGuardrails{SetGuardrails: &pb.SetGuardrails{Guardrails: g}},
	})
	if err != nil || outcome.GetRefused() != nil {
		t.Fatalf("five million bytes: %v, %v", err, outcome.GetRefused())
	}
	r.wait("all of it", func() bool { return len(r.leader().State().Guardrails().GetProtect()) == 100 })
}
