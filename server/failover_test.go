package server

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"squall/agent/host/hosttest"
	"squall/proto/parts"
	"squall/proto/pki"
	pb "squall/proto/squall/v1"
)

// BenchmarkFailover kills the leader of three real processes with -9 and
// measures the time until the next commit, as a client of another server sees it.
func BenchmarkFailover(b *testing.B) {
	procs := startProcesses(b, func(string) {})
	var took []time.Duration
	for b.Loop() {
		took = append(took, procs.round())
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "median-ms")
	b.ReportMetric(float64(took[len(took)*95/100].Milliseconds()), "p95-ms")
	b.ReportMetric(float64(took[len(took)-1].Milliseconds()), "max-ms")
	b.ReportMetric(float64(len(took)), "kills")
}

// BenchmarkBusyMinutes counts the elections that nothing called for while every
// processor is busy and commits go on: each iteration is a minute, so that
// -benchtime 10x is ten.
func BenchmarkBusyMinutes(b *testing.B) {
	procs := startProcesses(b, func(string) {})
	procs.settle()
	stop := spin(runtime.NumCPU())
	defer stop()
	before, commits := procs.elections(), 0
	if before == 0 {
		b.Fatal("the servers' logs tell of no leader")
	}
	for b.Loop() {
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			procs.commitWithout("")
			commits++
		}
	}
	b.ReportMetric(float64(procs.elections()-before), "elections")
	b.ReportMetric(float64(commits), "commits")
}

// spin keeps processors busy until it is stopped.
func spin(n int) (stop func()) {
	var over atomic.Bool
	for range n {
		go func() {
			for !over.Load() {
			}
		}()
	}
	return func() { over.Store(true) }
}

// elections is how many terms have begun, as the servers' logs say.
func (p *processes) elections() int {
	p.t.Helper()
	n := 0
	for _, s := range p.servers {
		log, err := os.ReadFile(filepath.Join(p.dir, s.ID+".log"))
		if err != nil {
			p.t.Fatal(err)
		}
		n += strings.Count(string(log), "msg=leads ")
	}
	return n
}

// processes are three servers of their own.
type processes struct {
	t       testing.TB
	ca      *pki.Authority
	binary  string
	dir     string
	servers []pki.Server
	running map[string]*exec.Cmd
	users   map[string]pb.ControlServiceClient
}

// startProcesses starts them, each on a folder that disk has seen before.
func startProcesses(t testing.TB, disk func(dir string)) *processes {
	t.Helper()
	p := &processes{
		t: t, dir: t.TempDir(), running: make(map[string]*exec.Cmd), users: make(map[string]pb.ControlServiceClient),
	}
	p.binary = filepath.Join(p.dir, "squall")
	if out, err := exec.Command("go", "build", "-o", p.binary, "squall/cli").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	ca, err := pki.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	p.ca = ca
	for _, id := range []string{"a", "b", "c"} {
		p.servers = append(p.servers, pki.Server{ID: id, Address: freePair(t)})
	}
	user, err := ca.Issue(pki.Identity{Role: pb.Role_ROLE_USER, Name: "kim"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.servers {
		bundle, err := ca.Issue(pki.Identity{Role: pb.Role_ROLE_SERVER, Name: s.ID})
		if err != nil {
			t.Fatal(err)
		}
		if err := bundle.WithServers(p.servers).Write(filepath.Join(p.dir, "bundle-"+s.ID)); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(p.data(s.ID), 0o700); err != nil {
			t.Fatal(err)
		}
		disk(p.data(s.ID))
		p.dial(s, user)
		p.start(s.ID)
	}
	t.Cleanup(func() {
		for _, cmd := range p.running {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	p.leader()
	return p
}

// data is the folder of a server's state.
func (p *processes) data(id string) string { return filepath.Join(p.dir, "data-"+id) }

func (p *processes) dial(s pki.Server, user *pki.Bundle) {
	conn, err := grpc.NewClient(s.Address, grpc.WithTransportCredentials(credentials.NewTLS(user.ClientTLS())))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	p.users[s.ID] = pb.NewControlServiceClient(conn)
}

func (p *processes) start(id string) {
	cmd := exec.Command(p.binary, "server", "--bundle", filepath.Join(p.dir, "bundle-"+id), "--dir", p.data(id))
	log, err := os.Create(filepath.Join(p.dir, id+".log"))
	if err != nil {
		p.t.Fatal(err)
	}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	_ = log.Close()
	p.running[id] = cmd
}

// round kills the leader, waits for the next commit, and brings it back.
func (p *processes) round() time.Duration {
	dead := p.leader()
	_ = p.running[dead].Process.Kill()
	began := time.Now()
	_ = p.running[dead].Wait()
	p.commitWithout(dead)
	took := time.Since(began)
	p.start(dead)
	p.settle()
	return took
}

// commitWithout waits for a commit that another server proposes.
func (p *processes) commitWithout(id string) {
	for other, user := range p.users {
		if other != id {
			p.commit(user)
			return
		}
	}
}

// commit is a resume that is refused: the machine says so, after a commit.
func (p *processes) commit(user pb.ControlServiceClient) {
	for end := time.Now().Add(enough); time.Now().Before(end); {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		_, err := user.Resume(ctx, &pb.ResumeRequest{Id: "none"})
		cancel()
		if problem(err).GetRefusal() == pb.Refusal_REFUSAL_INVALID {
			return
		}
	}
	p.t.Fatalf("no commit in %s", enough)
}

// leader is the leader's id, once there is one.
func (p *processes) leader() string {
	for end := time.Now().Add(enough); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		for _, user := range p.users {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			st, err := parts.Ask[pb.Status](ctx, user.Status, &pb.StatusRequest{})
			cancel()
			if err == nil && st.GetLeader() != "" {
				return st.GetLeader()
			}
		}
	}
	p.t.Fatalf("no leader in %s", enough)
	return ""
}

// settle waits until all three answer.
func (p *processes) settle() {
	for end := time.Now().Add(enough); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		up := 0
		for _, user := range p.users {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			st, err := parts.Ask[pb.Status](ctx, user.Status, &pb.StatusRequest{})
			cancel()
			if err == nil && st.GetLeader() != "" {
				up++
			}
		}
		if up == len(p.users) {
			return
		}
	}
	p.t.Fatalf("the killed server did not come back in %s", enough)
}

// freePair is an address whose port and the one after it are free.
func freePair(t testing.TB) string {
	t.Helper()
	for range 100 {
		first, err := net.Listen("tcp", hosttest.Loopback()+":0")
		if err != nil {
			t.Fatal(err)
		}
		port := first.Addr().(*net.TCPAddr).Port
		second, err := net.Listen("tcp", fmt.Sprintf("%s:%d", hosttest.Loopback(), port+1))
		_ = first.Close()
		if err == nil {
			_ = second.Close()
			return fmt.Sprintf("%s:%d", hosttest.Loopback(), port)
		}
	}
	t.Fatal("no pair of free ports")
	return ""
}
