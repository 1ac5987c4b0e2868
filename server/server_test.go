package server

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"squall/agent/host/hosttest/late"
	"squall/proto/parts"
	"squall/proto/pki"
	pb "squall/proto/squall/v1"
)

func TestHostIsKnownOnEveryServerAndLostWithItsStream(t *testing.T) {
	r := newRegion(t)
	a := r.agent(r.follower(), "web-a1", "zone-a")
	next(t, "the first order", a.order)
	for _, u := range r.servers {
		r.wait("the host on "+u.id, func() bool {
			return u.State().Host("web-a1").GetHost().GetPresence() == pb.Presence_PRESENCE_CONNECTED
		})
	}
	a.end()
	r.wait("the host to be lost", func() bool {
		return r.leader().State().Host("web-a1").GetHost().GetPresence() == pb.Presence_PRESENCE_LOST
	})
}

func TestNewerSessionElsewhereEndsTheOlder(t *testing.T) {
	r := newRegion(t)
	r.leader()
	old := r.agent(r.servers[0], "web-a1", "zone-a")
	next(t, "the first order", old.order)
	r.wait("the first session", func() bool { return r.servers[0].State().Host("web-a1").GetServer() == "a" })
	r.agent(r.servers[1], "web-a1", "zone-a")
	if err := next(t, "the end of the older session", old.over); status.Code(err) != codes.Aborted {
		t.Errorf("ended with %v", err)
	}
	r.wait("the newer session", func() bool { return r.servers[0].State().Host("web-a1").GetServer() == "b" })
}

func TestAgentSpeaksForItsOwnHostAlone(t *testing.T) {
	r := newRegion(t)
	a := r.agentWith(r.leader(), "web-a1", &pb.Hello{Host: &pb.Host{Name: "web-a2", Zone: "zone-a"}})
	if err := next(t, "the end of the session", a.over); status.Code(err) != codes.PermissionDenied {
		t.Errorf("ended with %v, not PermissionDenied", err)
	}
}

func TestLeaseIsRenewedOnlyWithAQuorumBehind(t *testing.T) {
	r := newRegion(t)
	u := r.follower()
	a := r.agent(u, "web-a1", "zone-a")
	r.wait("a renewal", func() bool { return a.ping(nil).GetRenewed() })
	asked := time.Now()
	pong := a.ping(nil)
	if pong.GetSentBootNanos() != 7 || pong.GetClusterUnixNanos() == 0 {
		t.Errorf("answered %v", pong)
	}
	if told := time.Unix(0, pong.GetClusterUnixNanos()); told.Before(asked.Add(-time.Second)) || told.After(time.Now().Add(time.Second)) {
		t.Errorf("cluster time is %s, asked for at %s on the same machine", told, asked)
	}
	for _, other := range r.servers {
		if other != u {
			r.kill(other)
		}
	}
	time.Sleep(Lease/3 + ConfirmEvery)
	if pong := a.ping(nil); pong.GetRenewed() || pong.GetWhyNot() == "" {
		t.Errorf("without a quorum, answered %v", pong)
	}
}

// TestEveryServerTellsTheNewLeadersTime and says whose it is.
func TestEveryServerTellsTheNewLeadersTime(t *testing.T) {
	r := newRegion(t)
	told := func(a *agent) uint64 { return a.ping(nil).GetTerm() }
	first := r.leader()
	before := told(r.agent(first, "web-a1", "zone-a"))
	r.kill(first)
	lead := r.leader()
	after := told(r.agent(lead, "web-b1", "zone-b"))
	if before == 0 || after <= before {
		t.Errorf("term %d after %d", after, before)
	}
	u := r.follower()
	a := r.agent(u, "web-c1", "zone-c")
	r.wait("a follower that tells the new leader's time", func() bool { return told(a) == after })
}

func TestServerBehindAnAgentNeitherSendsNorRenews(t *testing.T) {
	r := newRegion(t)
	u := r.leader()
	a := r.agentWith(u, "web-a1", &pb.Hello{
		Host: &pb.Host{Name: "web-a1", Zone: "zone-a"}, Order: &pb.OrderMark{Epoch: 1, Index: 1 << 40},
	})
	if pong := a.ping(nil); pong.GetRenewed() {
		t.Errorf("renewed while behind: %v", pong)
	}
	select {
	case o := <-a.order:
		t.Errorf("sent an order while behind: %v", o)
	case <-time.After(200 * time.Millisecond):
	}
}

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

func TestHaltStopsEverythingAndRefusesUntilResume(t *testing.T) {
	r := newRegion(t)
	agents := r.hosts()
	user := r.user(r.follower())
	run := r.running(user, agents)
	halt, err := user.Halt(within(t, enough), &pb.HaltRequest{Id: "h1", Reason: "drill", WaitNanos: int64(enough / 2)})
	if err != nil || !halt.GetCommitted() {
		t.Fatalf("halt: %v, %v", halt, err)
	}
	if len(halt.GetHosts()) != 2 || !halt.GetHosts()[0].GetClean() || !halt.GetHosts()[1].GetClean() {
		t.Errorf("hosts after the halt: %v", halt.GetHosts())
	}
	refused, err := user.Run(within(t, enough), &pb.RunRequest{Id: "two", Source: source("2s")})
	if err != nil || refused.GetRefused()[0].GetRefusal() != pb.Refusal_REFUSAL_HALTED {
		t.Errorf("a run under halt: %v, %v", refused, err)
	}
	if _, err := user.Resume(within(t, enough), &pb.ResumeRequest{Id: "other"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("resume of another halt: %v", err)
	}
	if _, err := user.Resume(within(t, enough), &pb.ResumeRequest{Id: "h1"}); err != nil {
		t.Errorf("resume: %v", err)
	}
	r.wait("the run's end", func() bool { return r.leader().State().Run(run).GetVerdict() == pb.Verdict_VERDICT_HALTED })
}

// TestHaltUnderAnyIdPullsTheLeverOrSaysSo pulls it under an id that can't be one,
// twice, and under one that was let go of.
func TestHaltUnderAnyIdPullsTheLeverOrSaysSo(t *testing.T) {
	r := newRegion(t)
	u := r.follower()
	user := r.user(u)
	long := strings.Repeat("h", 300) + "\n"
	for range 2 {
		halt, err := user.Halt(within(t, enough), &pb.HaltRequest{Id: long})
		if lever := u.State().Halt(); err != nil || !halt.GetCommitted() || !lever.GetEngaged() || len(lever.GetAlso()) > 0 {
			t.Fatalf("halt under a long id: %v, %v; the lever is %v", halt, err, lever)
		}
	}
	if _, err := user.Resume(within(t, enough), &pb.ResumeRequest{}); err != nil {
		t.Fatal(err)
	}
	r.wait("word of the resume", func() bool { return !u.State().Halt().GetEngaged() })
	if halt, err := user.Halt(within(t, enough), &pb.HaltRequest{Id: long}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a halt that was let go of is pulled again: %v, %v; the lever is %v", halt, err, u.State().Halt())
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

func TestHaltWithoutAQuorumRevertsAndSaysSo(t *testing.T) {
	r := newRegion(t)
	agents := r.hosts() // all on the server that will be alone
	alone := r.servers[0]
	user := r.user(alone)
	r.running(user, agents)
	r.kill(r.servers[1])
	r.kill(r.servers[2])
	halt, err := user.Halt(within(t, enough), &pb.HaltRequest{Id: "h1", WaitNanos: int64(2 * time.Second)})
	if err != nil || halt.GetCommitted() {
		t.Fatalf("halt without a quorum: %v, %v", halt, err)
	}
	for _, c := range halt.GetHosts() {
		if !c.GetClean() {
			t.Errorf("%s told that it reverted, and is %v", c.GetHost(), c)
		}
	}
	refused, err := user.Run(within(t, enough), &pb.RunRequest{Id: "two", Source: source("2s")})
	if err != nil || refused.GetRefused()[0].GetRefusal() != pb.Refusal_REFUSAL_HALTED {
		t.Errorf("a run after a halt that was heard: %v, %v", refused, err)
	}
	r.start(r.servers[1])
	r.wait("the halt's commit", func() bool { return alone.State().Halt().GetId() == "h1" })
}

func TestNoLeaderIsSaidInTime(t *testing.T) {
	r := newRegion(t)
	r.leader()
	alone := r.servers[2]
	r.kill(r.servers[0])
	r.kill(r.servers[1])
	user := r.user(alone)
	watch, began := late.Begin(t), time.Now()
	_, err := parts.Ask[pb.RunReport](within(t, enough), user.Report, &pb.ReportRequest{Run: "x"})
	if problem(err).GetRefusal() != pb.Refusal_REFUSAL_NO_LEADER {
		t.Errorf("a read without a quorum: %v", err)
	}
	// A connection is made first, by a handful of messages.
	if took, limit := time.Since(began), leaderTime+2*time.Second+10*watch.Worst(); took > limit {
		t.Errorf("said so after %s, want at most %s", took, limit)
	}
	st, err := parts.Ask[pb.Status](within(t, enough), user.Status, &pb.StatusRequest{})
	if err != nil || st.GetLeader() != "" || len(st.GetServers()) != 3 {
		t.Errorf("status without a quorum: %v, %v", st, err)
	}
}

func TestWindowsAreCommittedOnceAndAcknowledged(t *testing.T) {
	r := newRegion(t)
	agents := r.hosts()
	user := r.user(r.leader())
	src := append([]byte("probes:\n  shop:\n    tcp: 127.0.0.1:1\n    from: zone-a\n"), source("20s")[1:]...)
	res, err := user.Run(within(t, enough), &pb.RunRequest{Id: "one", Source: src})
	if err != nil || len(res.GetRefused()) > 0 {
		t.Fatalf("run: %v, %v", err, res.GetRefused())
	}
	a := agents["web-a1"]
	await(t, "an order with a probe", a.order, func(o *pb.Order) bool { return len(o.GetProbes()) > 0 })
	second := time.Now().Unix()
	batch := &pb.Windows{Batch: 9, Windows: []*pb.Window{{Run: res.GetRun(), Probe: "shop", Zone: "lies", Second: second, Count: 3, Success: 2, Hosts: []byte{0xff}}}}
	for range 2 {
		a.say(&pb.SessionRequest{Kind: &pb.SessionRequest_Windows{Windows: batch}})
		if got := next(t, "an acknowledgement", a.acks); got != 9 {
			t.Errorf("acknowledged %d", got)
		}
	}
	var w *pb.Window
	r.wait("the window", func() bool {
		w = r.leader().State().Readings(res.GetRun()).Window("shop", "zone-a", second)
		return w != nil
	})
	if w.GetCount() != 3 || len(w.GetHosts()) != 1 || w.GetHosts()[0] != 1 {
		t.Errorf("recorded %v", w)
	}
}

func TestDoorsAndRoles(t *testing.T) {
	r := newRegion(t)
	lead := r.leader()
	expired, err := r.ca.IssueUntil(pki.Identity{Role: pb.Role_ROLE_SERVER, Name: "b"}, time.Now().Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	other, err := pki.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := other.Issue(pki.Identity{Role: pb.Role_ROLE_SERVER, Name: "b"})
	if err != nil {
		t.Fatal(err)
	}
	nobody := r.bundle(pb.Role_ROLE_USER, "x").ClientTLS()
	nobody.Certificates = nil
	strange := foreign.ClientTLS()
	strange.VerifyConnection = nil
	for _, c := range []struct {
		who                  string
		tls                  *tls.Config
		control, agent, peer codes.Code
	}{
		{"a user", r.bundle(pb.Role_ROLE_USER, "kim").ClientTLS(), codes.OK, codes.PermissionDenied, codes.PermissionDenied},
		{"an agent", r.bundle(pb.Role_ROLE_AGENT, "web").ClientTLS(), codes.PermissionDenied, codes.OK, codes.PermissionDenied},
		{"a server", r.bundle(pb.Role_ROLE_SERVER, "b").ClientTLS(), codes.OK, codes.PermissionDenied, codes.OK},
		{"nobody", nobody, codes.Unavailable, codes.Unavailable, codes.Unavailable},
		{"an expired server", expired.ClientTLS(), codes.Unavailable, codes.Unavailable, codes.Unavailable},
		{"another authority's server", strange, codes.Unavailable, codes.Unavailable, codes.Unavailable},
	} {
		t.Run(c.who, func(t *testing.T) {
			conn, err := grpc.NewClient(lead.cfg.Bundle.Servers[r.index(lead)].Address,
				grpc.WithTransportCredentials(credentials.NewTLS(c.tls)))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, control := parts.Ask[pb.Status](within(t, enough), pb.NewControlServiceClient(conn).Status, &pb.StatusRequest{})
			_, peer := pb.NewPeerServiceClient(conn).Confirm(within(t, enough), &pb.ConfirmRequest{})
			stream, agent := pb.NewAgentServiceClient(conn).Session(within(t, enough))
			if agent == nil {
				hello := &pb.Hello{Host: &pb.Host{Name: "web", Zone: "zone-a"}, BootId: "boot"}
				_ = stream.Send(&pb.SessionRequest{Kind: &pb.SessionRequest_Hello{Hello: hello}}) // what is wrong is heard
				_, agent = stream.Recv()
			}
			for _, d := range []struct {
				door string
				got  error
				want codes.Code
			}{{"control", control, c.control}, {"agent", agent, c.agent}, {"peer", peer, c.peer}} {
				if status.Code(d.got) != d.want {
					t.Errorf("%s door: %v, not %s", d.door, d.got, d.want)
				}
			}
		})
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

// problem is the refusal that an error carries.
func problem(err error) *pb.Problem {
	for _, d := range status.Convert(err).Details() {
		if p, ok := d.(*pb.Problem); ok {
			return p
		}
	}
	return nil
}

// TestNameCutInsideALetterDoesNotCutTheAgentOff: any local user can name a
// process so, and agents of other builds may send it as it is.
func TestNameCutInsideALetterDoesNotCutTheAgentOff(t *testing.T) {
	r := newRegion(t)
	host := &pb.Host{Name: "web-a1", Zone: "zone-a"}
	host.ProtoReflect().SetUnknown(append([]byte{0x82, 0x01, 8}, "cut-her\xc3"...)) // undeclared = 16, past the check of what marshals
	r.agentWith(r.leader(), "web-a1", &pb.Hello{Host: host})
	r.wait("the host", func() bool {
		known := r.leader().State().Host("web-a1").GetHost()
		return known.GetPresence() == pb.Presence_PRESENCE_CONNECTED && len(known.GetUndeclared()) == 1
	})
	if got := r.leader().State().Host("web-a1").GetHost().GetUndeclared()[0]; got != "cut-her\uFFFD" {
		t.Errorf("knows the process as %q", got)
	}
}

func TestWordsThatATerminalObeysAreRefused(t *testing.T) {
	r := newRegion(t)
	r.leader()
	user := r.user(r.servers[0])
	_, err := user.Run(within(t, enough), &pb.RunRequest{Id: "one", Why: "\x1b[2J", Source: source("2s"), File: "dark.yaml"})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("run: %v", err)
	}
	if _, err := user.Halt(within(t, enough), &pb.HaltRequest{Id: "h", Reason: "\x1b[2Jsmoke"}); err != nil {
		t.Errorf("halt: %v", err)
	}
	r.wait("the halt", func() bool { return r.servers[0].State().Halt().GetEngaged() })
	if got := r.servers[0].State().Halt().GetReason(); got != "\uFFFD[2Jsmoke" {
		t.Errorf("its reason is %q", got)
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

// TestServerWithoutALeaderGivesNoAllClear: what it last knew says that nobody confirms it.
func TestServerWithoutALeaderGivesNoAllClear(t *testing.T) {
	r := newRegion(t)
	u := r.follower()
	st, err := parts.Ask[pb.Status](within(t, enough), r.user(u).Status, &pb.StatusRequest{})
	if err != nil || st.GetUnconfirmed() || st.GetLeader() == "" {
		t.Fatalf("with a leader: %v, %v", st, err)
	}
	r.agent(u, "web-a1", "zone-a")
	r.wait("the host", func() bool { return u.State().Host("web-a1") != nil })
	for _, other := range r.servers {
		if other != u {
			r.kill(other)
		}
	}
	r.wait("the loss of the leader", func() bool {
		st, err = parts.Ask[pb.Status](within(t, enough), r.user(u).Status, &pb.StatusRequest{})
		return err == nil && st.GetUnconfirmed()
	})
	if st.GetLeader() != "" || st.GetHostsKnown() != 1 {
		t.Errorf("tells %v", st)
	}
}
