package bench

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"squall/cli/lab"
	"squall/experiments"
	"squall/proto/parts"
	"squall/proto/pki"
	pb "squall/proto/squall/v1"
)

const (
	kills = 50
	// attempt bounds one call, so that none waits for a server that is gone.
	attempt = 250 * time.Millisecond
	// poll is the pause after a call that came to nothing.
	poll = 2 * time.Millisecond
	// electionTimeout is the servers' own, which no failover can undercut.
	electionTimeout = 250 * time.Millisecond
)

// BenchmarkFailover is how long after kill -9 of the leader another server has
// committed a command. The dead one is started again before the next kill. The
// baseline is a commit with nobody killed.
func BenchmarkFailover(b *testing.B) {
	r := newRegion(b, "lab", "shop")
	plane := r.connect()
	var took, calm []time.Duration
	for range kills {
		calm = append(calm, plane.commit(plane.all()))
		lead := plane.leader()
		others := plane.allBut(lead)
		process, err := os.FindProcess(r.serverPid(lead))
		must(b, err)
		must(b, process.Signal(unix.SIGKILL))
		took = append(took, plane.commit(others))
		plane.revive(lead)
		plane.settle()
	}
	const name = "failover, kill -9 of the leader to a commit"
	row{name: name + " (median)", unit: "s", values: in(time.Second, took), judged: median, limit: 0.5, base: in(time.Second, calm), baseName: "a commit"}.print()
	row{name: name + " (p95)", unit: "s", values: in(time.Second, took), judged: p95, limit: 1.2, base: []float64{electionTimeout.Seconds()}, baseName: "election timeout"}.print()
}

// plane is the control plane of a lab.
type plane struct {
	*region
	servers map[string]pb.ControlServiceClient
	revived sync.WaitGroup
}

func (r *region) connect() *plane {
	r.Helper()
	bundle, err := pki.Load(r.folder.UserBundle())
	must(r, err)
	p := &plane{region: r, servers: map[string]pb.ControlServiceClient{}}
	for _, s := range bundle.Servers {
		conn, err := grpc.NewClient(s.Address, grpc.WithTransportCredentials(credentials.NewTLS(bundle.ClientTLS())))
		must(r, err)
		r.Cleanup(func() { conn.Close() })
		p.servers[s.ID] = pb.NewControlServiceClient(conn)
	}
	return p
}

func (p *plane) all() []pb.ControlServiceClient { return p.allBut("") }

func (p *plane) allBut(dead string) []pb.ControlServiceClient {
	var out []pb.ControlServiceClient
	for id, s := range p.servers {
		if id != dead {
			out = append(out, s)
		}
	}
	return out
}

// commit asks servers in turn until one has committed a command that changes
// nothing: a resume of a halt that nobody pulled, which the machine refuses.
func (p *plane) commit(servers []pb.ControlServiceClient) time.Duration {
	p.Helper()
	began := time.Now()
	for n := 0; time.Since(began) < commandLimit; n++ {
		ctx, cancel := context.WithTimeout(context.Background(), attempt)
		_, err := servers[n%len(servers)].Resume(ctx, &pb.ResumeRequest{Id: "nobody"})
		cancel()
		switch status.Code(err) {
		case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
			time.Sleep(poll)
		default:
			return time.Since(began)
		}
	}
	p.Fatal("nobody commits")
	return 0
}

// leader is the server that all call the leader.
func (p *plane) leader() string {
	p.Helper()
	st := p.status()
	if st.GetLeader() == "" {
		p.Fatal("there is no leader")
	}
	return st.GetLeader()
}

func (p *plane) status() *pb.Status {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, s := range p.servers {
		if st, err := parts.Ask[pb.Status](ctx, s.Status, &pb.StatusRequest{}); err == nil && st.GetLeader() != "" {
			return st
		}
	}
	return nil
}

// settle waits until all servers reach each other and lead a quiet life.
func (p *plane) settle() {
	p.Helper()
	for began := time.Now(); time.Since(began) < commandLimit; time.Sleep(50 * time.Millisecond) {
		reachable := 0
		for _, s := range p.status().GetServers() {
			if s.GetReachable() {
				reachable++
			}
		}
		if reachable == len(p.servers) {
			time.Sleep(time.Second) // the log catches up
			return
		}
	}
	p.Fatal("a server that was started again is not back")
}

// serverPid finds the process of a server.
func (r *region) serverPid(id string) int {
	r.Helper()
	bundle := r.folder.Bundle("server-" + id)
	for pid, args := range processes(r.TB) {
		if len(args) > 3 && args[1] == "server" && strings.Contains(strings.Join(args, " "), bundle) {
			return pid
		}
	}
	r.Fatalf("no process of %s", id)
	return 0
}

// revive starts a server again, on its host, as its host's config says.
func (p *plane) revive(id string) {
	p.Helper()
	file := filepath.Join(p.folder.Host(id), "host.yaml")
	src, err := os.ReadFile(file)
	must(p, err)
	config, problems := experiments.DecodeHostConfig(file, src)
	must(p, problems.Err())
	cmd := &lab.Command{Folder: p.folder, Host: id, Argv: config.GetWorkloads()[0].GetStart()}
	p.revived.Go(func() { _, _ = cmd.Run(context.Background()) }) // it ends with the lab
}
