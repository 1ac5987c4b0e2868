package e2e

import (
	"testing"

	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// chat sends a datagram to an address ten times a second, for longer than any
// fault here lasts, however late it begins.
const chat = "for i in $(seq 600); do echo x > /dev/udp/203.0.113.9/9; sleep 0.1; done 2>/dev/null; true"

// TestAFaultThatMetNothingIsNoPass: a delay towards addresses that nobody talks
// to, and one whose packets leave by a TUN, which carries no frames that could
// be held, prove nothing (13). The same delay proves itself where packets meet it.
func TestAFaultThatMetNothingIsNoPass(t *testing.T) {
	hosttest.RequireProgram(t, "ip", "iproute2")
	r := newRegion(t)
	r.whole(t)
	for _, c := range []struct {
		name, host string
		tun, talks bool
		code       int
	}{
		{"addresses on an interface that nobody talks to", "web-a1", false, false, 13},
		{"behind a TUN", "web-b1", true, true, 13},
		{"the same on an interface with frames", "web-c1", false, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.quiet(t, c.host, c.tun)
			if c.talks {
				r.startProgram(t, "squall", "lab", "exec", c.host, "--", "bash", "-c", chat)
			}
			run := r.inject(t, "net.delay", "--host", c.host, "--delay", "100ms", "--to.prefix", "203.0.113.0/24", "--for", "3s")
			report, code := r.done(t, run)
			if code != c.code {
				t.Errorf("exits with %d, want %d: %v", code, c.code, report.GetFindings())
			}
			if unproved := report.GetSummary().GetVerdict() == pb.Verdict_VERDICT_INCONCLUSIVE; unproved != (c.code == 13) {
				t.Errorf("the verdict is %v", report.GetSummary().GetVerdict())
			}
		})
	}
}

// quiet gives a host an interface of its own that leads to 203.0.113.0/24, where
// nobody is: a TUN, or one end of a pair that carries frames.
func (r *region) quiet(t *testing.T, host string, tun bool) {
	t.Helper()
	script := "ip link add quiet0 type veth peer name quiet1 && ip link set quiet1 up"
	if tun {
		script = "ip tuntap add quiet0 mode tun"
	}
	script += " && ip address add 203.0.113.1/24 dev quiet0 && ip link set quiet0 up"
	if !tun {
		script += " && ip neighbour add 203.0.113.9 lladdr 02:00:00:00:00:09 dev quiet0"
	}
	r.on(t, host, "sh", "-c", script).check(t, 0)
}
