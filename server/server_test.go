package server

import (
	"crypto/tls"
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
