package server

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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
	end := time.Now().Add(2 * time.Second)
	issue := func(role pb.Role, name string) *pki.Bundle {
		b, err := r.ca.IssueUntil(pki.Identity{Role: role, Name: name}, end)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	agents := pb.NewAgentServiceClient(r.dial(r.servers[0], issue(pb.Role_ROLE_AGENT, "web-1")))
	session, err := agents.Session(within(t, 20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	hello := &pb.Hello{Host: &pb.Host{Name: "web-1", Zone: "zone-a"}, BootId: "boot"}
	if err := session.Send(&pb.SessionRequest{Kind: &pb.SessionRequest_Hello{Hello: hello}}); err != nil {
		t.Fatal(err)
	}
	user := pb.NewControlServiceClient(r.dial(r.servers[0], issue(pb.Role_ROLE_USER, "kim")))
	if _, err := parts.Ask[pb.Status](within(t, 10*time.Second), user.Status, &pb.StatusRequest{}); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = session.Recv()
	}
	if late := time.Since(end); status.Code(err) != codes.Unauthenticated || late < -time.Second || late > time.Second {
		t.Errorf("the session ended %s after the certificate: %v", late, err)
	}
	if _, err := parts.Ask[pb.Status](within(t, 10*time.Second), user.Status, &pb.StatusRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a call with an expired certificate: %v", err)
	}
}
