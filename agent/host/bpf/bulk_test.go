package bpf

import (
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// TestBulkArrivesUnharmed: segments as large as the stack makes them, with
// checksums left to do, in both directions and both families.
func TestBulkArrivesUnharmed(t *testing.T) {
	const size = 32 << 20
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data)
	want := sha256.Sum256(data)
	p, loader := newPair(t), newLoader(t)
	a := attachIn(t, p.here, func() (Attachment, error) {
		return loader.Delay(now(loader, time.Minute), &pb.DelayLine{
			DelayNanos: int64(5 * time.Millisecond), Direction: pb.Direction_DIRECTION_BOTH,
		})
	})
	for _, way := range []struct {
		name     string
		from, to *space
		addr     string
	}{
		{"out v4", p.here, p.there, there4},
		{"out v6", p.here, p.there, there6},
		{"in v4", p.there, p.here, here4},
		{"in v6", p.there, p.here, here6},
	} {
		t.Run(way.name, func(t *testing.T) {
			addr := net.JoinHostPort(way.addr, "5002")
			conns := way.to.accept(t, addr)
			c, err := way.from.dial(t, &net.Dialer{Timeout: enough}, addr)
			must(t, err)
			start := time.Now()
			go func() { _, _ = c.Write(data); _ = c.(*net.TCPConn).CloseWrite() }()
			s := <-conns
			defer func() { _ = s.Close() }()
			must(t, s.SetReadDeadline(time.Now().Add(2*enough)))
			h := sha256.New()
			n, err := io.Copy(h, s)
			if err != nil || n != size || [32]byte(h.Sum(nil)) != want {
				t.Errorf("%d of %d bytes came, %v", n, size, err)
			}
			t.Logf("%.1f Gbit/s", float64(n)*8/time.Since(start).Seconds()/1e9)
		})
	}
	n, err := a.Counters()
	t.Log(n, err)
}
