package main

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "squall/proto/squall/v1"
)

// serverWith serves an implementation on a socket until the test ends.
func serverWith(t *testing.T, impl pb.ControlServiceServer) server {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	pb.RegisterControlServiceServer(s, impl)
	go s.Serve(listener) //nolint:errcheck // it ends with the test
	t.Cleanup(s.Stop)
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return server{socket, conn, pb.NewControlServiceClient(conn)}
}

// teller tells events up to an index, and then falls silent or ends the run.
type teller struct {
	pb.UnimplementedControlServiceServer
	upTo uint64
	last bool
}

func (s *teller) Watch(req *pb.WatchRequest, stream grpc.ServerStreamingServer[pb.WatchResponse]) error {
	for i := req.GetAfterIndex() + 1; i <= s.upTo; i++ {
		e := &pb.Event{Index: i}
		if s.last && i == s.upTo {
			e.Kind = pb.EventKind_EVENT_KIND_VERDICT
		}
		if err := stream.Send(&pb.WatchResponse{Event: e}); err != nil {
			return err
		}
	}
	return status.Error(codes.Unavailable, "killed")
}

func TestWatchGoesOnWhereAServerFellSilent(t *testing.T) {
	c := &client{timeout: time.Second, servers: []server{
		serverWith(t, &teller{upTo: 3}), serverWith(t, &teller{upTo: 5, last: true}),
	}}
	var seen []uint64
	err := c.watch(t.Context(), &pb.WatchRequest{}, func(e *pb.Event) bool {
		seen = append(seen, e.GetIndex())
		return finished(e)
	})
	if err != nil || !slices.Equal(seen, []uint64{1, 2, 3, 4, 5}) {
		t.Errorf("saw %v, %v; want each event once", seen, err)
	}
}

// hearer hears halts; it may be slow, or without a quorum.
type hearer struct {
	pb.UnimplementedControlServiceServer
	heard     chan string
	committed bool
	hosts     []*pb.HostClean
	slow      bool
	// all is done when every server has heard; who commits waits for it, since
	// a committed halt makes the other answers unneeded.
	all *sync.WaitGroup
}

func (s *hearer) Halt(ctx context.Context, req *pb.HaltRequest) (*pb.HaltResponse, error) {
	s.heard <- req.GetId()
	if s.all != nil {
		s.all.Done()
	}
	if s.slow {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if s.committed && s.all != nil {
		s.all.Wait()
	}
	return &pb.HaltResponse{Committed: s.committed, Hosts: s.hosts}, nil
}

func TestAHaltReachesEveryServerUnderOneID(t *testing.T) {
	heard, all := make(chan string, 3), new(sync.WaitGroup)
	all.Add(3)
	c := &client{timeout: time.Second, servers: []server{
		serverWith(t, &hearer{heard: heard, all: all, slow: true}),
		serverWith(t, &hearer{heard: heard, all: all}),
		serverWith(t, &hearer{heard: heard, all: all, committed: true}),
	}}
	resp, err := c.halt(t.Context(), "drill", time.Second)
	if err != nil || !resp.GetCommitted() {
		t.Fatalf("%v, %v", resp, err)
	}
	first := <-heard
	for range 2 {
		select {
		case id := <-heard:
			if id != first {
				t.Errorf("halt %s became %s", first, id)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("a server was not told")
		}
	}
}

// TestWithoutAQuorumWhatServersKnowIsJoined: a host that one of them saw clean is clean.
func TestWithoutAQuorumWhatServersKnowIsJoined(t *testing.T) {
	heard := make(chan string, 2)
	unknown := func(h string) *pb.HostClean { return &pb.HostClean{Host: h, Unknown: true} }
	clean := func(h string) *pb.HostClean { return &pb.HostClean{Host: h, Clean: true} }
	c := &client{timeout: time.Second, servers: []server{
		serverWith(t, &hearer{heard: heard, hosts: []*pb.HostClean{clean("web-a1"), unknown("web-b1"), unknown("web-c1")}}),
		serverWith(t, &hearer{heard: heard, hosts: []*pb.HostClean{unknown("web-a1"), clean("web-b1"), unknown("web-c1")}}),
	}}
	resp, err := c.halt(t.Context(), "", time.Second)
	if err != nil || resp.GetCommitted() {
		t.Fatalf("%v, %v", resp, err)
	}
	for _, h := range resp.GetHosts() {
		if want := h.GetHost() == "web-c1"; h.GetUnknown() != want {
			t.Errorf("%s: unknown %v, want %v", h.GetHost(), h.GetUnknown(), want)
		}
	}
	if code := exitCode(cleanError(resp, nil)); code != 20 {
		t.Errorf("exit code %d, want 20", code)
	}
}

func TestTextOfOthersCannotCommandATerminal(t *testing.T) {
	if got := escape("a\x1b[2Jb\u202ec\nd\te"); got != "a\uFFFD[2Jb\uFFFDc\nd\te" {
		t.Errorf("%q", got)
	}
}

// TestWhatIsToldInPartIsToldByNobodyElse: a stream that breaks off before its first
// message may be asked for elsewhere, one that breaks off behind it may not.
func TestWhatIsToldInPartIsToldByNobodyElse(t *testing.T) {
	for told, elsewhereToo := range map[int]bool{0: true, 1: false, 3: false} {
		left, taken := told, 0
		err := drain(func() (int, error) {
			if left--; left < 0 {
				return 0, status.Error(codes.Unavailable, "the server stops")
			}
			return left, nil
		}, func(int) error { taken++; return nil }, func() string { return "it is short" })
		if elsewhere(err) != elsewhereToo || taken != told || told > 0 && !strings.Contains(err.Error(), "it is short: the server stops") {
			t.Errorf("after %d of %d: %v", taken, told, err)
		}
	}
}
