package host_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"squall/agent/host"
	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// A flow that said nothing since the silence began is known all the same: its
// workload hears nothing by it.
func TestIdleFlowOfAWorkloadHearsNothing(t *testing.T) {
	hosttest.Require(t, "silence")
	pair := hosttest.NewPair(t)
	for _, far := range []netip.Addr{pair.B4, pair.B6} {
		t.Run(far.String(), func(t *testing.T) {
			base, heard := hosttest.NewCgroup(t), filepath.Join(t.TempDir(), "heard")
			conns := acceptOne(t, pair.B, netip.AddrPortFrom(far, 5432))
			err := pair.A.Do(func() error {
				script := `exec 3<>/dev/tcp/` + far.String() + `/5432; cat <&3 >` + heard
				web := &pb.Workload{Name: "web", Start: []string{"bash", "-c", script}}
				h, err := host.Open(&pb.HostConfig{Name: "h", Zone: "z", Workloads: []*pb.Workload{web}}, host.Options{Base: base})
				if err != nil {
					return err
				}
				defer h.Close()
				do(t, h, start("web"))
				peer, err := first(conns)
				if err != nil {
					return err
				}
				defer peer.Close()
				say(t, peer, heard, "before", "before")
				facts, err := h.Facts(t.Context())
				if err != nil {
					return err
				}
				op := silence(h)
				op.GetSilence().Cgroups = []string{facts.GetWorkloads()[0].GetCgroup()}
				do(t, h, op)
				say(t, peer, heard, "during", "before")
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// acceptOne takes one connection in a namespace.
func acceptOne(t *testing.T, ns *hosttest.NetNS, at netip.AddrPort) <-chan net.Conn {
	t.Helper()
	conns := make(chan net.Conn, 1)
	err := ns.Do(func() error {
		l, err := net.Listen("tcp", at.String())
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			if c, err := l.Accept(); err == nil {
				conns <- c
			}
		}()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return conns
}

// first is the connection that comes, soon.
func first(conns <-chan net.Conn) (net.Conn, error) {
	select {
	case c := <-conns:
		return c, nil
	case <-time.After(20 * time.Second):
		return nil, errors.New("the workload has not connected")
	}
}

// say sends a word and holds what the other side has heard by then.
func say(t *testing.T, to net.Conn, heard, word, want string) {
	t.Helper()
	if _, err := to.Write([]byte(word)); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for until := time.Now().Add(300 * time.Millisecond); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		var err error
		if got, err = os.ReadFile(heard); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if string(got) != want {
		t.Errorf("after %q the workload has heard %q, want %q", word, got, want)
	}
}
