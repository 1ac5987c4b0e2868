package host_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"squall/agent/host"
	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// TestServerExemptInMidFaultIsReached: the host is silent, a server is told of, and
// the agent's marked connection to it gets through.
func TestServerExemptInMidFaultIsReached(t *testing.T) {
	hosttest.Require(t, "silence")
	const mark = 0x5a11
	pair, base := hosttest.NewPair(t), hosttest.NewCgroup(t)
	server := netip.AddrPortFrom(pair.B4, 7000)
	acceptOne(t, pair.B, server)
	err := pair.A.Do(func() error {
		h, err := host.Open(&pb.HostConfig{}, host.Options{Base: base, Exempt: &pb.Exempt{Mark: mark, Servers: []string{"192.0.2.1:7000"}}})
		if err != nil {
			return err
		}
		defer h.Close()
		op := silence(h)
		op.GetSilence().Exempt = &pb.Exempt{Mark: mark}
		do(t, h, op)
		dialer := net.Dialer{Control: host.SocketMark(mark)}
		within := func(limit time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			c, err := dialer.DialContext(ctx, "tcp", server.String())
			if err == nil {
				_ = c.Close()
			}
			return err
		}
		if within(300*time.Millisecond) == nil {
			return errors.New("a server that nobody has told of is reached")
		}
		if err := h.Exempt([]string{"unix:/run/door", server.String()}); err != nil {
			return err
		}
		if err := within(10 * time.Second); err != nil {
			return fmt.Errorf("reach the server: %w", err)
		}
		facts, err := h.Facts(t.Context())
		if got := fmt.Sprint(facts.GetExempt().GetServers()); got != "[192.0.2.1:7000 "+server.String()+"]" {
			t.Errorf("exempt: %s", got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
