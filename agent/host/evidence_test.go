package host_test

import (
	"net"
	"testing"
	"time"

	"squall/agent/host"
	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// shows are those of a step's evidence that are no facts, by whether they hold.
func shows(t *testing.T, h *host.Real) map[string]bool {
	t.Helper()
	found, err := h.Evidence(t.Context(), "squall/run/step")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, e := range found {
		t.Log(e.GetText(), "holds:", e.GetHolds(), "fact:", e.GetFact())
		if !e.GetFact() {
			shown[e.GetName()] = e.GetHolds()
		}
	}
	return shown
}

// TestDelayOfNothingIsNoProof: what it delays is the one thing that shows it,
// whatever else passes by. It is the same thing before and after.
func TestDelayOfNothingIsNoProof(t *testing.T) {
	hosttest.Require(t, "delay.line")
	pair := hosttest.NewPair(t)
	base := hosttest.NewCgroup(t)
	err := pair.A.Do(func() error {
		h, err := host.Open(&pb.HostConfig{}, host.Options{Base: base})
		if err != nil {
			return err
		}
		defer h.Close()
		for prefix, want := range map[string]bool{"203.0.113.0/24": false, pair.B4.String(): true} {
			now := h.Boot()
			h.Renew("squall", now+time.Minute)
			do(t, h, &pb.Op{
				Tag:  "squall/run/step/delay",
				Gate: &pb.Gate{StartBootNanos: int64(now), EndBootNanos: int64(now + time.Minute)},
				Kind: &pb.Op_DelayLine{DelayLine: &pb.DelayLine{DelayNanos: 1e6, Prefix: []string{prefix}}},
			})
			if got := shows(t, h); len(got) != 1 || got["delayed"] {
				t.Errorf("%s: before any packet it shows %v", prefix, got)
			}
			speak(t, net.JoinHostPort(pair.B4.String(), "9"))
			if want { // whose address is asked for first
				eventually(t, "the delay of a packet is shown", func() bool { return shows(t, h)["delayed"] })
			}
			if got := shows(t, h); len(got) != 1 || got["delayed"] != want {
				t.Errorf("%s: after a packet to %s it shows %v", prefix, pair.B4, got)
			}
			do(t, h, detach("squall/run/step/delay"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSilenceOfNothingIsNoProof: that of ports to which nobody speaks shows
// nothing, neither way, since the death of what listened shows itself.
func TestSilenceOfNothingIsNoProof(t *testing.T) {
	hosttest.Require(t, "silence")
	pair := hosttest.NewPair(t)
	base := hosttest.NewCgroup(t)
	err := pair.A.Do(func() error {
		h, err := host.Open(&pb.HostConfig{}, host.Options{Base: base})
		if err != nil {
			return err
		}
		defer h.Close()
		op := silence(h)
		op.Kind = &pb.Op_Silence{Silence: &pb.Silence{Ports: []uint32{9}}}
		do(t, h, op)
		if got := shows(t, h); len(got) != 0 {
			t.Errorf("before any packet it shows %v", got)
		}
		speakFrom(t, 9, net.JoinHostPort(pair.B4.String(), "10"))
		eventually(t, "the loss of a packet is shown", func() bool { return shows(t, h)["dropped"] })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// speak sends one packet.
func speak(t *testing.T, to string) {
	t.Helper()
	speakFrom(t, 0, to)
}

func speakFrom(t *testing.T, port int, to string) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.UDPAddr{Port: port}}
	c, err := d.DialContext(t.Context(), "udp", to)
	if err == nil {
		_, err = c.Write([]byte{0})
		_ = c.Close()
	}
	if err != nil {
		t.Error(err)
	}
}
