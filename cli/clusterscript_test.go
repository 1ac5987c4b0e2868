package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"squall/proto/pki"
	pb "squall/proto/squall/v1"
	controlserver "squall/server"
	"squall/server/consensus"
)

// startCluster is `cluster [INSTANT] HOST=ZONE…`: a real control plane of one
// server, in reach of the script's squall, whose clock shows the instant now.
// The hosts are connected, of the environment lab, and do nothing.
func startCluster(ts *testscript.TestScript, _ bool, args []string) {
	wall := time.Now
	if len(args) > 0 && !strings.Contains(args[0], "=") {
		at, err := time.Parse(time.RFC3339, args[0])
		ts.Check(err)
		off := time.Until(at)
		wall = func() time.Time { return time.Now().Add(off) }
		args = args[1:]
	}
	authority, err := pki.NewAuthority()
	ts.Check(err)
	c := &cluster{ts: ts, authority: authority, servers: []pki.Server{{ID: "server-a", Address: "unix:" + ts.MkAbs("cluster.sock")}}}
	c.start(wall)
	ts.Check(c.issue(pb.Role_ROLE_USER, "kim").Write(ts.MkAbs("bundle")))
	ts.Setenv("SQUALL_BUNDLE", ts.MkAbs("bundle"))
	for _, a := range args {
		host, zone, _ := strings.Cut(a, "=")
		c.connect(host, zone)
	}
	for end := time.Now().Add(time.Minute); len(args) > 0; time.Sleep(20 * time.Millisecond) {
		out := execOutput(ts, "get", "hosts", "-o", "name")
		if strings.Count(out, "\n") == len(args) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("the hosts are not there: %s", out)
		}
	}
}

// cluster is a control plane of one server.
type cluster struct {
	ts        *testscript.TestScript
	authority *pki.Authority
	servers   []pki.Server
}

func (c *cluster) issue(role pb.Role, name string) *pki.Bundle {
	b, err := c.authority.Issue(pki.Identity{Role: role, Name: name})
	c.ts.Check(err)
	return b.WithServers(c.servers)
}

func (c *cluster) start(wall func() time.Time) {
	door, err := net.Listen("unix", c.ts.MkAbs("cluster.sock"))
	c.ts.Check(err)
	port, err := net.Listen("tcp", "127.0.0.1:0")
	c.ts.Check(err)
	dir := c.ts.MkAbs("server-a")
	c.ts.Check(os.MkdirAll(dir, 0o700))
	s, err := controlserver.New(controlserver.Config{
		Bundle: c.issue(pb.Role_ROLE_SERVER, "server-a"), Dir: dir, Doors: []net.Listener{door}, RaftPort: port, Wall: wall,
		RaftPeers: []consensus.Peer{{ID: "server-a", Address: port.Addr().String()}}, Timing: consensus.LAN(), Log: slog.New(slog.DiscardHandler),
	})
	c.ts.Check(err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	c.ts.Defer(func() {
		stop()
		_ = <-done // there is nobody to hand over to, and it says so
	})
}

// connect keeps an agent's session open to the script's end.
func (c *cluster) connect(host, zone string) {
	conn, err := grpc.NewClient(c.servers[0].Address, grpc.WithTransportCredentials(credentials.NewTLS(c.issue(pb.Role_ROLE_AGENT, host).ClientTLS())))
	c.ts.Check(err)
	c.ts.Defer(func() { _ = conn.Close() })
	stream, err := pb.NewAgentServiceClient(conn).Session(context.Background(), grpc.WaitForReady(true))
	c.ts.Check(err)
	hello := &pb.Hello{Host: &pb.Host{Name: host, Zone: zone, Environment: "lab"}, BootId: "boot"}
	c.ts.Check(stream.Send(&pb.SessionRequest{Kind: &pb.SessionRequest_Hello{Hello: hello}}))
	go func() {
		for _, err := stream.Recv(); err == nil; _, err = stream.Recv() {
		}
	}()
}

// execOutput is what squall prints, or as much of it as comes before it fails.
func execOutput(ts *testscript.TestScript, args ...string) string {
	_ = ts.Exec("squall", args...) // looked at again
	return ts.ReadFile("stdout")
}

// awaitOutput is `until PATTERN ARG…`: squall with those arguments is run again
// and again, until what it prints has the words.
func awaitOutput(ts *testscript.TestScript, _ bool, args []string) {
	var out string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if out = execOutput(ts, args[1:]...); strings.Contains(out, args[0]) {
			return
		}
	}
	ts.Fatalf("squall %s never says %q:\n%s", strings.Join(args[1:], " "), args[0], out)
}
