package agent

import (
	"context"
	"strings"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

func delay(d *pb.NetDelay) *pb.LocalInjectRequest {
	return &pb.LocalInjectRequest{ForNanos: int64(time.Minute), Fault: &pb.Fault{Kind: &pb.Fault_NetDelay{NetDelay: d}}}
}

// TestLocalFaultsAreHeldToTheRulesOfFiles: what no file could say is refused
// on the host's own socket too, and nothing is touched.
func TestLocalFaultsAreHeldToTheRulesOfFiles(t *testing.T) {
	length := &pb.Span{Nanos: int64(40 * time.Millisecond)}
	for name, c := range map[string]struct {
		in   *pb.LocalInjectRequest
		says string
	}{
		"a required key is missing":          {delay(&pb.NetDelay{}), `"delay" is missing`},
		"a value is out of its range":        {delay(&pb.NetDelay{Delay: &pb.Span{Nanos: int64(time.Hour)}}), "out of range"},
		"no kind of fault":                   {&pb.LocalInjectRequest{ForNanos: 1, Fault: &pb.Fault{}}, "has no fault"},
		"no end":                             {&pb.LocalInjectRequest{Fault: delay(nil).GetFault()}, "has no end"},
		"peers that a host alone can't know": {delay(&pb.NetDelay{Delay: length, To: &pb.Peers{Zone: []string{"zone-b"}}}), "knows no zones"},
		"a workload that it can't narrow to": {&pb.LocalInjectRequest{
			ForNanos: int64(time.Minute), Workload: []string{"web"}, Fault: delay(&pb.NetDelay{Delay: length}).GetFault(),
		}, "can't be narrowed"},
	} {
		t.Run(name, func(t *testing.T) {
			marry(t, func(c2 *couple) {
				client, done := c2.local.dial(t)
				defer done()
				answer, err := client.Inject(context.Background(), c.in)
				if err != nil || !strings.Contains(answer.GetRefused().GetMessage(), c.says) || answer.GetRefused().GetFix() == "" {
					t.Errorf("refused with %v, %v; want %q", answer.GetRefused(), err, c.says)
				}
				if acting := c2.fake.Acting(); len(acting) > 0 {
					t.Errorf("acting: %v", acting)
				}
			})
		})
	}
}

// TestLocalPeersComeFromTheFault: a local fault is the same message as in a
// step, its peers included.
func TestLocalPeersComeFromTheFault(t *testing.T) {
	marry(t, func(c *couple) {
		client, done := c.local.dial(t)
		defer done()
		in := delay(&pb.NetDelay{Delay: &pb.Span{Nanos: int64(40 * time.Millisecond)}, To: &pb.Peers{Prefix: []string{"10.0.0.0/8"}}})
		in.DryRun = true
		answer, err := client.Inject(context.Background(), in)
		if err != nil || answer.GetRefused() != nil {
			t.Fatalf("refused with %v, %v", answer.GetRefused(), err)
		}
		if touches := strings.Join(answer.GetStep().GetTouches(), "\n"); !strings.Contains(touches, "1 prefix,") {
			t.Errorf("touches %s", touches)
		}
	})
}

// TestLocalFaultsLeaveControlServersAlone: no command takes one, however it
// comes; what else runs on such a host may be named.
func TestLocalFaultsLeaveControlServersAlone(t *testing.T) {
	host := &pb.HostConfig{Role: []string{"squall-server"}, Workloads: []*pb.Workload{{Name: "web"}, {Name: "s1", Role: "squall-server"}}}
	plain := &pb.HostConfig{Workloads: host.GetWorkloads()}
	for _, c := range []struct {
		config    *pb.HostConfig
		workloads []string
		refused   bool
	}{
		{host, nil, true},
		{host, []string{"s1"}, true},
		{host, []string{"web"}, false},
		{plain, nil, true},
		{plain, []string{"web"}, false},
		{&pb.HostConfig{}, nil, false},
	} {
		l := &local{config: c.config, standalone: true}
		in := delay(&pb.NetDelay{Delay: &pb.Span{Nanos: 1}})
		in.Workload = c.workloads
		if got := onServer(l.config, in.GetWorkload()); got != c.refused {
			t.Errorf("%v of %v: refused: %v", c.workloads, c.config, got)
		}
		if !c.refused {
			continue
		}
		if p := l.refuseInject(in); p.GetRefusal() != pb.Refusal_REFUSAL_GUARDRAIL || p.GetFix() == "" {
			t.Errorf("%v of %v: %v", c.workloads, c.config, p)
		}
	}
}
