package sim

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"squall/proto/pki"
	pb "squall/proto/squall/v1"
	"squall/server"
	"squall/server/conduct"
	"squall/server/consensus"
	"squall/server/report"
	"squall/server/state"
)

// region is three servers and the hosts of three zones.
type region struct {
	t        *testing.T
	net      *network
	log      *slog.Logger
	ca       *pki.Authority
	doors    []pki.Server
	timing   consensus.Timing
	servers  []*control
	machines []*machine
	dial     func(host string) []grpc.DialOption // of agents
	decide   func(d *conduct.Decider, now time.Time, v *state.View, run string) conduct.Decision
}

// control is one control server, through its lives.
type control struct {
	id        string
	region    *region
	stores    *consensus.Stores
	log       *stuckLog
	skew      atomic.Int64 // of its wall clock, nanoseconds
	lag       atomic.Int64 // of what brings it entries of the log, nanoseconds
	dir       string
	boots     atomic.Int64 // of its machine
	transport *raft.InmemTransport
	server    *server.Server // nil while it is dead
	stop      context.CancelFunc
	done      chan struct{}
}

// settings of a region; the zero value has six hosts.
type settings struct {
	perZone int
	// more hosts of zone-b, called more-1 and so on.
	more int
	// decide makes the leaders' decisions; nil is conduct's own.
	decide func(d *conduct.Decider, now time.Time, v *state.View, run string) conduct.Decision
	timing consensus.Timing
	skew   []time.Duration
	dial   func(host string) []grpc.DialOption
}

var zones = []string{"zone-a", "zone-b", "zone-c"}

func newRegion(t *testing.T, s settings) *region {
	t.Helper()
	ca, err := pki.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	r := &region{t: t, net: newNetwork(), ca: ca, log: logger(), timing: s.timing, dial: s.dial, decide: s.decide}
	if r.timing.Heartbeat == 0 {
		r.timing = consensus.LAN()
	}
	for i := range 3 {
		id := fmt.Sprint("s", i+1)
		r.doors = append(r.doors, pki.Server{ID: id, Address: id})
	}
	for i, d := range r.doors {
		c := &control{id: d.ID, region: r, stores: consensus.MemoryStores(), dir: t.TempDir()}
		c.log = &stuckLog{LogStore: c.stores.Log}
		c.stores.Log = c.log
		if i < len(s.skew) {
			c.skew.Store(int64(s.skew[i]))
		}
		r.servers = append(r.servers, c)
	}
	for _, c := range r.servers {
		c.start()
	}
	r.boot(max(s.perZone, 2))
	for i := range s.more {
		r.bootHost(fmt.Sprint("more-", i+1), "zone-b")
	}
	t.Cleanup(r.close)
	r.waitReady()
	return r
}

// logger is silent but for SIM_LOG=debug, info or warn.
func logger() *slog.Logger {
	var level slog.Level
	if level.UnmarshalText([]byte(os.Getenv("SIM_LOG"))) != nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

func (r *region) bundle(role pb.Role, name string) *pki.Bundle {
	r.t.Helper()
	b, err := r.ca.Issue(pki.Identity{Role: role, Name: name})
	if err != nil {
		r.t.Fatal(err)
	}
	return b.WithServers(r.doors)
}

func (r *region) boot(perZone int) {
	for i := range perZone * len(zones) {
		zone := zones[i%len(zones)]
		name := fmt.Sprintf("web-%s%d", zone[len(zone)-1:], i/len(zones)+1)
		r.bootHost(name, zone)
	}
}

func (r *region) bootHost(name, zone string) {
	r.machines = append(r.machines, startMachine(r.t, machineConfig{
		name: name, zone: zone, bundle: r.bundle(pb.Role_ROLE_AGENT, name), net: r.net,
		doors: []string{"s1", "s2", "s3"}, dial: r.dial, log: r.log,
	}))
}

func (r *region) close() {
	for _, c := range r.servers {
		c.thaw()
	}
	for _, m := range r.machines {
		m.stop()
	}
	for _, m := range r.machines {
		<-m.done
	}
	for _, c := range r.alive() {
		c.kill()
	}
	for _, c := range r.servers {
		<-c.done
	}
	time.Sleep(lastWords)
}

// lastWords is how long raft may still wait for answers when it has stopped.
const lastWords = 10 * time.Second

// start gives a server a life, with the log of the ones before.
func (c *control) start() {
	r := c.region
	r.t.Helper()
	if c.done != nil {
		<-c.done // the life before
	}
	var peers []consensus.Peer
	for _, d := range r.doors {
		peers = append(peers, consensus.Peer{ID: d.ID, Address: d.ID})
	}
	_, c.transport = raft.NewInmemTransportWithTimeout(raft.ServerAddress(c.id), r.timing.Heartbeat)
	for _, other := range r.servers {
		if other.server != nil {
			c.joinRaft(other)
		}
	}
	s, err := server.New(server.Config{
		Bundle: r.bundle(pb.Role_ROLE_SERVER, c.id), Doors: []net.Listener{r.net.listen(c.id)}, RaftPeers: peers,
		Timing: r.timing, Dial: r.net.dialer(c.id), Transport: slowWay{c.transport, r.lagOf}, Stores: c.stores, Decide: r.decide,
		Wall: func() time.Time { return time.Now().Add(c.wallStep()) }, Boot: c.boot, Dir: c.dir, Log: r.log,
		Metrics: r.net.listen(watchDoor(c.id)),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	c.server, c.stop, c.done = s, stop, make(chan struct{})
	done := c.done
	go func() {
		defer close(done)
		if err := s.Run(ctx); err != nil {
			r.log.Debug("server ended", "server", c.id, "err", err)
		}
	}()
}

// wallStep is how far its wall clock is off.
func (c *control) wallStep() time.Duration { return time.Duration(c.skew.Load()) }

// boot is the boot of its machine, and how long ago that was.
func (c *control) boot() (id string, ago time.Duration, err error) {
	return fmt.Sprint(c.id, "/", c.boots.Load()), time.Since(epoch), nil
}

// epoch is before every simulation's beginning.
var epoch = time.Unix(9e8, 0)

// lagOf is by how much a server lags.
func (r *region) lagOf(server raft.ServerAddress) time.Duration {
	for _, c := range r.servers {
		if c.id == string(server) {
			return time.Duration(c.lag.Load())
		}
	}
	return 0
}

func (c *control) joinRaft(other *control) {
	c.transport.Connect(raft.ServerAddress(other.id), other.transport)
	other.transport.Connect(raft.ServerAddress(c.id), c.transport)
}

func (c *control) leaveRaft(other *control) {
	c.transport.Disconnect(raft.ServerAddress(other.id))
	other.transport.Disconnect(raft.ServerAddress(c.id))
}

// kill is kill -9: whatever the server still does, nobody hears of it.
func (c *control) kill() {
	for _, other := range c.region.servers {
		if other != c {
			c.leaveRaft(other)
		}
	}
	c.region.net.kill(c.id)
	c.server = nil
	time.AfterFunc(haunting, c.stop)
}

// kill kills servers and gives them to be revived.
func (r *region) kill(which ...int) []*control {
	var dead []*control
	for _, i := range which {
		r.servers[i].kill()
		dead = append(dead, r.servers[i])
	}
	return dead
}

// revive gives the dead another life.
func (r *region) revive(dead []*control) {
	r.t.Helper()
	for _, c := range dead {
		c.start()
	}
}

// haunting is how long a killed server goes on unheard: longer than a leader's
// lease. It ends at a moment at which nothing else is due, since raft never
// answers what is proposed while it shuts down.
const haunting = 1001*time.Millisecond + 313*time.Microsecond

// cutOff separates a server from the other servers.
func (c *control) cutOff() {
	for _, other := range c.region.servers {
		if other != c {
			c.leaveRaft(other)
			c.region.net.cut(c.id, other.id)
			c.region.net.cut(other.id, c.id)
		}
	}
}

// rejoin ends what cutOff began.
func (c *control) rejoin() {
	for _, other := range c.region.servers {
		if other != c {
			c.joinRaft(other)
			c.region.net.heal(c.id, other.id)
			c.region.net.heal(other.id, c.id)
		}
	}
}

// alive are the servers that run.
func (r *region) alive() []*control {
	return slices.DeleteFunc(slices.Clone(r.servers), func(c *control) bool { return c.server == nil })
}

// leader is the server that leads, nil when none does.
func (r *region) leader() *control {
	for _, c := range r.alive() {
		if c.server.Leading() {
			return c
		}
	}
	return nil
}

// view is the newest state that any server has applied.
func (r *region) view() *state.View {
	var newest *state.View
	for _, c := range r.alive() {
		if v := c.server.State(); newest == nil || v.Index() > newest.Index() {
			newest = v
		}
	}
	return newest
}

// until waits in simulated time.
func (r *region) until(what string, most time.Duration, yes func() bool) {
	r.t.Helper()
	for end := time.Now().Add(most); !yes(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("%s: not within %s", what, most)
		}
	}
}

func (r *region) waitReady() {
	r.t.Helper()
	r.until("a leader and all hosts", 30*time.Second, func() bool {
		return r.leader() != nil && int(report.Status(r.view()).GetHostsConnected()) == len(r.machines)
	})
}

// user calls a server as an operator does.
func (r *region) user(server string) pb.ControlServiceClient {
	r.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+server,
		grpc.WithTransportCredentials(credentials.NewTLS(r.bundle(pb.Role_ROLE_USER, "ada").ClientTLS())),
		grpc.WithContextDialer(r.net.dialer("ada")))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return pb.NewControlServiceClient(conn)
}

// run starts a run through a server and gives its id.
func (r *region) run(source string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	res, err := r.user(r.leader().id).Run(ctx, &pb.RunRequest{Id: rand.Text(), File: "sim.yaml", Source: []byte(source)})
	if err != nil {
		r.t.Fatal(err)
	}
	if len(res.GetRefused()) > 0 {
		r.t.Fatalf("the run was refused: %v", res.GetRefused())
	}
	return res.GetRun()
}

func (r *region) done(run string) bool {
	v := r.view()
	return v != nil && v.Run(run).GetState() == pb.RunState_RUN_STATE_DONE
}
