package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"squall/agent/host/hosttest"
	"squall/cli/lab"
	"squall/experiments"
	"squall/proto/parts"
	"squall/proto/pki"
	pb "squall/proto/squall/v1"
)

// TestMain lets the scripts run the real main as a process of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"squall": main})
}

// TestLab runs the scripts that build a lab.
func TestLab(t *testing.T) {
	hosttest.RequireRoot(t)
	p := scripts("testdata/lab")
	setup := p.Setup
	p.Setup = func(e *testscript.Env) error {
		e.Defer(func() {
			// Whatever the script has brought up, also where it stopped half-way.
			left, err := filepath.Glob(filepath.Join(e.WorkDir, "squall-lab-*"))
			for _, folder := range left {
				err = errors.Join(err, lab.Down(context.Background(), lab.Folder(folder)))
			}
			if err != nil {
				t.Error(err)
			}
		})
		return setup(e)
	}
	testscript.Run(t, p)
}

// TestScripts runs every command line that testdata/script holds: a script for
// each exit code, and one for each promise of the command line.
func TestScripts(t *testing.T) {
	testscript.Run(t, scripts("testdata/script"))
}

// scripts are the scripts of a folder, each in a world of its own.
func scripts(dir string) testscript.Params {
	return testscript.Params{
		Dir: dir,
		Setup: func(e *testscript.Env) error {
			// No lab, settings or user of this machine may leak in.
			e.Setenv("TMPDIR", e.WorkDir)
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, "config"))
			e.Values[stage{}] = &stage{}
			e.Values[sinkKey{}] = make(map[string]*heard)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"control": startControl, "cluster": startCluster, "exits": exits, "asked": awaitAsked, "until": awaitOutput,
			"sink": startSink, "told": awaitTold,
		},
	}
}

// stage is where a script's control plane plays.
type stage struct{ actor *actor }

// awaitAsked is `asked METHOD N`: it waits until somebody has asked the control
// plane so for the Nth time. From the first watch on, squall hears signals.
func awaitAsked(ts *testscript.TestScript, _ bool, args []string) {
	c := ts.Value(stage{}).(*stage).actor
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	for end := time.Now().Add(time.Minute); c.asked(args[0]) < want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("nobody asks for %s: %d times, want %d", args[0], c.asked(args[0]), want)
		}
	}
}

// exits is `exits CODE ARG…`: squall with those arguments must end with that
// code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	got := "0"
	if err := ts.Exec("squall", args[1:]...); err != nil {
		code, ok := strings.CutPrefix(err.Error(), "exit status ")
		if !ok {
			ts.Fatalf("squall %s: %v", strings.Join(args[1:], " "), err)
		}
		got = code
	}
	if got != args[0] {
		ts.Fatalf("squall %s: exit code %s, want %s", strings.Join(args[1:], " "), got, args[0])
	}
}

// startControl is `control KEY=VALUE…`: a control plane of one server that
// plays a part, in reach of the script's squall.
func startControl(ts *testscript.TestScript, _ bool, args []string) {
	c := &actor{ended: make(chan struct{}), part: map[string]string{}}
	ts.Value(stage{}).(*stage).actor = c
	for _, a := range args {
		key, value, _ := strings.Cut(a, "=")
		c.part[key] = value
	}
	authority, err := pki.NewAuthority()
	ts.Check(err)
	socket := ts.MkAbs("control.sock")
	_ = os.Remove(socket) // of an earlier part
	servers := []pki.Server{{ID: "server-a", Address: "unix:" + socket}}
	own, err := authority.Issue(pki.Identity{Role: pb.Role_ROLE_SERVER, Name: "server-a"})
	ts.Check(err)
	end := time.Now().Add(time.Hour)
	if c.part["expired"] != "" {
		end = time.Now().Add(-time.Minute)
	}
	user, err := authority.IssueUntil(pki.Identity{Role: pb.Role_ROLE_USER, Name: "kim"}, end)
	ts.Check(err)
	ts.Check(user.WithServers(servers).Write(ts.MkAbs("bundle")))
	ts.Setenv("SQUALL_BUNDLE", ts.MkAbs("bundle"))
	listener, err := net.Listen("unix", socket)
	ts.Check(err)
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(own.ServerTLS(pb.Role_ROLE_USER))))
	pb.RegisterControlServiceServer(s, c)
	go s.Serve(listener) //nolint:errcheck // it ends with the script
	ts.Defer(s.Stop)
}

// actor plays the part of a control plane. Its part says how a run ends:
// verdict=…, state=… where it goes on, residue=…, refuse=…, committed=no, unknown=HOST, endless=yes, undo=hangs.
type actor struct {
	pb.UnimplementedControlServiceServer
	part  map[string]string
	once  sync.Once
	ended chan struct{}
	mu    sync.Mutex
	calls map[string]int // by method; guarded by mu
}

func (c *actor) note(method string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls == nil {
		c.calls = map[string]int{}
	}
	c.calls[method]++
}

func (c *actor) asked(method string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[method]
}

const partRun = "zone-loss-1"

func (c *actor) refuse() *pb.Problem {
	name, ok := c.part["refuse"]
	if !ok {
		return nil
	}
	return &pb.Problem{
		Refusal: pb.Refusal(pb.Refusal_value["REFUSAL_"+strings.ToUpper(name)]), Message: "it is refused", Fix: "ask for less",
	}
}

func (c *actor) Run(context.Context, *pb.RunRequest) (*pb.RunResponse, error) {
	if p := c.refuse(); p != nil {
		return &pb.RunResponse{Refused: []*pb.Problem{p}}, nil
	}
	return &pb.RunResponse{Run: partRun, Hosts: 2, Slots: 2}, nil
}

func (c *actor) Watch(req *pb.WatchRequest, stream grpc.ServerStreamingServer[pb.WatchResponse]) error {
	c.note("watch")
	for i, host := range []string{"web-a1", "web-b1"} {
		e := &pb.Event{
			Index: uint64(i) + 1, AtUnixNanos: time.Now().UnixNano(), Run: partRun, Kind: pb.EventKind_EVENT_KIND_STEP,
			Text: host + " holds", Step: &pb.StepStatus{Run: partRun, Step: "hold.dns.fail", Host: host, State: pb.StepState_STEP_STATE_HELD},
		}
		if err := stream.Send(&pb.WatchResponse{Event: e}); err != nil {
			return err
		}
	}
	if c.part["endless"] != "" {
		select {
		case <-c.ended:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
	return stream.Send(&pb.WatchResponse{Event: &pb.Event{Index: 9, Run: partRun, Kind: pb.EventKind_EVENT_KIND_VERDICT, Text: "verdict"}})
}

func (c *actor) Report(_ *pb.ReportRequest, stream grpc.ServerStreamingServer[pb.ReportResponse]) error {
	r := &pb.RunReport{Summary: &pb.RunSummary{
		Id: partRun, Experiment: "zone-loss", State: pb.RunState_RUN_STATE_DONE,
		Verdict: pb.Verdict(pb.Verdict_value["VERDICT_"+strings.ToUpper(c.part["verdict"])]),
	}}
	if state := c.part["state"]; state != "" {
		r.Summary.State, r.Summary.Verdict = pb.RunState(pb.RunState_value["RUN_STATE_"+strings.ToUpper(state)]), pb.Verdict_VERDICT_UNSPECIFIED
	}
	select {
	case <-c.ended:
		r.Summary.Verdict = pb.Verdict_VERDICT_HALTED
	default:
	}
	if host := c.part["residue"]; host != "" {
		r.Residue = []*pb.HostClean{{Host: host, Residue: []string{"table inet squall"}}}
	}
	return parts.Send(stream, r, func(part []byte) *pb.ReportResponse { return &pb.ReportResponse{Part: part} })
}

func (c *actor) Windows(_ *pb.WindowsRequest, stream grpc.ServerStreamingServer[pb.WindowsResponse]) error {
	for second := range int64(2) {
		if err := stream.Send(&pb.WindowsResponse{Windows: []*pb.Window{{Run: partRun, Probe: "shop", Zone: "zone-a", Second: second, Count: 4, Success: 3}}}); err != nil {
			return err
		}
	}
	if c.part["short"] != "" {
		return status.Error(codes.Unavailable, "the disk is gone")
	}
	return nil
}

func (c *actor) Halt(context.Context, *pb.HaltRequest) (*pb.HaltResponse, error) {
	c.once.Do(func() { close(c.ended) })
	return &pb.HaltResponse{Committed: c.part["committed"] != "no", Hosts: c.hosts()}, nil
}

func (c *actor) Undo(ctx context.Context, req *pb.UndoRequest) (*pb.UndoResponse, error) {
	if p := c.refuse(); p != nil {
		st, err := status.New(experiments.GRPCCode(p.GetRefusal()), p.GetMessage()).WithDetails(p)
		if err != nil {
			return nil, err
		}
		return nil, st.Err()
	}
	c.note("undo")
	if c.part["undo"] == "hangs" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c.once.Do(func() { close(c.ended) })
	return &pb.UndoResponse{Runs: []string{req.GetRun()}, Hosts: c.hosts()}, nil
}

func (c *actor) hosts() []*pb.HostClean {
	hosts := []*pb.HostClean{{Host: "web-a1", Clean: true}}
	if name := c.part["unknown"]; name != "" {
		hosts = append(hosts, &pb.HostClean{Host: name, Unknown: true})
	}
	return hosts
}

func (c *actor) Status(_ *pb.StatusRequest, stream grpc.ServerStreamingServer[pb.StatusResponse]) error {
	c.note("status")
	return parts.Send(stream, c.status(), func(part []byte) *pb.StatusResponse { return &pb.StatusResponse{Part: part} })
}

func (c *actor) status() *pb.Status {
	if c.part["confirmed"] == "no" { // as a server that has just come back
		return &pb.Status{Server: "server-a", Unconfirmed: true}
	}
	return &pb.Status{
		Leader: "server-a", Server: "server-a", HostsConnected: 2, HostsKnown: 2,
		Servers: []*pb.ServerStatus{{Id: "server-a", Leader: true, Reachable: true}},
		Active:  []*pb.ActiveStep{{Run: partRun, Step: "hold.dns.fail", Fault: "dns.fail", Hosts: []string{"web-a1", "web-b1"}, EndsUnixNanos: 9e9}},
	}
}

func (c *actor) Live(_ *pb.LiveRequest, stream grpc.ServerStreamingServer[pb.LiveResponse]) error {
	live := &pb.LiveRun{Run: &pb.RunSummary{Id: partRun}, NowUnixNanos: time.Now().UnixNano()}
	return parts.Send(stream, live, func(part []byte) *pb.LiveResponse { return &pb.LiveResponse{Part: part} })
}

// ListHosts tells a page for each host.
func (c *actor) ListHosts(_ context.Context, req *pb.ListHostsRequest) (*pb.ListHostsResponse, error) {
	if req.GetPageToken() == "" {
		return &pb.ListHostsResponse{NextPageToken: "second", Hosts: []*pb.Registered{
			{Host: &pb.Host{Name: "web-a1", Zone: "zone-a", Presence: pb.Presence_PRESENCE_CONNECTED}},
		}}, nil
	}
	return &pb.ListHostsResponse{Hosts: []*pb.Registered{
		{Host: &pb.Host{Name: "web-b1", Zone: "zone-b", Presence: pb.Presence_PRESENCE_LOST}},
	}}, nil
}

func (c *actor) GetHost(_ context.Context, req *pb.GetHostRequest) (*pb.GetHostResponse, error) {
	return &pb.GetHostResponse{Host: &pb.Registered{Host: &pb.Host{Name: req.GetHost(), Zone: "zone-a", Presence: pb.Presence_PRESENCE_CONNECTED}}}, nil
}

func (c *actor) ListZones(context.Context, *pb.ListZonesRequest) (*pb.ListZonesResponse, error) {
	return &pb.ListZonesResponse{Zones: []*pb.Zone{{Name: "zone-a", Hosts: 1, Connected: 1}, {Name: "zone-b", Hosts: 1}}}, nil
}
