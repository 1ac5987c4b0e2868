package server

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"squall/agent/host/hosttest/late"
	"squall/proto/parts"
	"squall/proto/pki"
	pb "squall/proto/squall/v1"
)

// An agent's bare word about a halt engages nothing: one host must not pull the
// region's lever. What a server let in and sealed, an agent may carry anywhere.
func TestAgentsBareWordPullsNoLever(t *testing.T) {
	r := newRegion(t)
	lead, other := r.leader(), r.follower()
	halt := func(seal *pb.HaltSeal) *pb.Hello {
		return &pb.Hello{
			Host: &pb.Host{Name: "web-1", Zone: "zone-a"}, BootId: "boot",
			Halt: &pb.HaltLatch{Id: "h1", Engaged: true, Reason: "drill", Seal: seal},
		}
	}
	forged, err := r.bundle(pb.Role_ROLE_AGENT, "web-1").Seal(sealPurpose, "h1", "drill")
	if err != nil {
		t.Fatal(err)
	}
	for what, seal := range map[string]*pb.HaltSeal{"bare": nil, "by itself": forged} {
		a := r.agentWith(other, "web-1", halt(seal))
		a.ping(nil) // its hello is dealt with
		if len(other.alarms.all()) > 0 || lead.State().Halt().GetEngaged() {
			t.Errorf("an agent's word (%s) engaged the halt", what)
		}
		a.end()
	}
	r.agentWith(other, "web-1", halt(lead.seal(&pb.HaltLatch{Id: "h1", Reason: "drill"})))
	r.wait("the halt's commit", func() bool { return lead.State().Halt().GetEngaged() })
}

// A stream ends with its caller's certificate, and a call on a connection that
// outlives it is refused.
func TestNothingOutlivesTheCertificate(t *testing.T) {
	r := newRegion(t)
	r.leader()
	for life := 2 * time.Second; !r.outlived(t, life); life *= 2 {
		t.Logf("the machine is busy: a certificate of %s ended before its bearer was let in", life)
	}
}

// outlived lets certificates of a short life in and waits for their end. Where
// they end before that, as on a busy machine, it has seen nothing.
func (r *region) outlived(t *testing.T, life time.Duration) (seen bool) {
	t.Helper()
	end := time.Now().Add(life)
	issue := func(role pb.Role, name string) *pki.Bundle {
		b, err := r.ca.IssueUntil(pki.Identity{Role: role, Name: name}, end)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	agents := pb.NewAgentServiceClient(r.dial(r.servers[0], issue(pb.Role_ROLE_AGENT, "web-1")))
	session, err := agents.Session(within(t, enough))
	hello := &pb.Hello{Host: &pb.Host{Name: "web-1", Zone: "zone-a"}, BootId: "boot"}
	if err == nil {
		err = session.Send(&pb.SessionRequest{Kind: &pb.SessionRequest_Hello{Hello: hello}})
	}
	if err == nil {
		_, err = session.Recv() // it is welcome
	}
	user := pb.NewControlServiceClient(r.dial(r.servers[0], issue(pb.Role_ROLE_USER, "kim")))
	_, asked := parts.Ask[pb.Status](within(t, enough), user.Status, &pb.StatusRequest{})
	if err = errors.Join(err, asked); err != nil {
		if time.Now().Before(end.Add(-time.Second)) || life > enough {
			t.Fatal(err)
		}
		return false
	}
	watch := late.Begin(t)
	for err == nil {
		_, err = session.Recv()
	}
	if after := time.Since(end); status.Code(err) != codes.Unauthenticated || after < -time.Second || after > time.Second+watch.Worst() {
		t.Errorf("the session ended %s after the certificate: %v", after, err)
	}
	if _, err := parts.Ask[pb.Status](within(t, enough), user.Status, &pb.StatusRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a call with an expired certificate: %v", err)
	}
	return true
}
