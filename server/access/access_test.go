package access_test

import (
	"fmt"
	"slices"
	"testing"

	"google.golang.org/grpc"

	"squall/proto/pki"
	pb "squall/proto/squall/v1"
	"squall/server/access"
)

// services are all that a server may register. A new one is a line here.
var services = []grpc.ServiceDesc{pb.AgentService_ServiceDesc, pb.ControlService_ServiceDesc, pb.PeerService_ServiceDesc}

func methods() []string {
	var all []string
	for _, s := range services {
		for _, m := range s.Methods {
			all = append(all, fmt.Sprintf("/%s/%s", s.ServiceName, m.MethodName))
		}
		for _, m := range s.Streams {
			all = append(all, fmt.Sprintf("/%s/%s", s.ServiceName, m.StreamName))
		}
	}
	return all
}

func TestEveryMethodHasItsRule(t *testing.T) {
	for _, m := range methods() {
		r, ok := access.Of(m)
		if !ok || len(r.Roles) == 0 || r.Object == "" {
			t.Errorf("%s has no role or no object", m)
		}
	}
}

// TestRolesOpenTheirMethodsOnly asks for every method with every role: only an
// agent has a session, only servers speak as servers, and an agent has nothing else.
func TestRolesOpenTheirMethodsOnly(t *testing.T) {
	opens := map[string][]pb.Role{
		pb.AgentService_ServiceDesc.ServiceName:   {pb.Role_ROLE_AGENT},
		pb.ControlService_ServiceDesc.ServiceName: {pb.Role_ROLE_USER, pb.Role_ROLE_SERVER},
		pb.PeerService_ServiceDesc.ServiceName:    {pb.Role_ROLE_SERVER},
	}
	for _, s := range services {
		for _, m := range methods() {
			if len(m) < len(s.ServiceName)+2 || m[1:len(s.ServiceName)+1] != s.ServiceName {
				continue
			}
			for _, role := range []pb.Role{0, pb.Role_ROLE_SERVER, pb.Role_ROLE_AGENT, pb.Role_ROLE_USER} {
				err := access.Check(m, pki.Identity{Name: "x", Role: role})
				if open := slices.Contains(opens[s.ServiceName], role); open != (err == nil) {
					t.Errorf("%s with role %v: %v", m, role, err)
				}
			}
		}
	}
	if access.Check("/squall.v1.ControlService/Unheard", pki.Identity{Role: pb.Role_ROLE_USER}) == nil {
		t.Error("a method without a rule is open")
	}
}

func TestWordsAreRefusedExceptWhereHarmEnds(t *testing.T) {
	const escape = "\x1b[2J"
	if err := access.Words(pb.ControlService_Run_FullMethodName, &pb.RunRequest{Why: escape}); err == nil {
		t.Error("a run's reason moves the cursor of whoever reads it")
	}
	halt := &pb.HaltRequest{Reason: escape}
	if err := access.Words(pb.ControlService_Halt_FullMethodName, halt); err != nil || halt.GetReason() == escape {
		t.Errorf("a halt must go on, with clean words: %v, %q", err, halt.GetReason())
	}
}
