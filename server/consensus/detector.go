package consensus

import (
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// refusals are how many dials must be refused, one after another, before a
	// process is taken to be gone, of how many dials in all, and dialPause what lies
	// between them. A process that ends closes one thing after another: connections
	// may be gone while its port is still open, and nobody there to answer.
	refusals  = 2
	dials     = 10
	dialPause = 10 * time.Millisecond
	// rankPause is by how much each further follower lets those before it go first:
	// an election takes less, and two at one time get no majority.
	rankPause = 75 * time.Millisecond
	// askPause is between two rounds of asking the others, askTime how long one
	// takes at most, and askFor how long it goes on: past that raft's own timeout
	// is due.
	askPause = 10 * time.Millisecond
	askTime  = 50 * time.Millisecond
	askFor   = 500 * time.Millisecond
)

// watched is a transport that sees connections end.
type watched interface {
	// onEnd is told, by the name in its certificate, whenever a connection ends
	// that a server had opened to this one. It is set before raft starts.
	onEnd(tell func(server string))
	// try opens a fresh connection to a raft port, only to see how that goes.
	try(address raft.ServerAddress) error
}

// detector finds out that the leader's process is gone, before its silence tells.
// The kernel closes a dead process's connections and refuses new ones; neither
// does a network that loses packets, or a process that stands still. Where a
// majority of servers is refused by the leader, this one included, the first in
// line among them has raft stand for election at once, as by a leader's own
// TimeoutNow. Raft holds the election as it holds any other: the detector decides
// nothing but when.
type detector struct {
	fullTransport
	ways  watched
	id    string
	peers []Peer
	log   *slog.Logger
	raft  atomic.Pointer[raft.Raft]
	rpcs  chan raft.RPC
	quit  chan struct{}

	mu      sync.Mutex // guards all below
	stopped bool
	looking bool
	// gone is the leader that was found to be gone, while its successor is awaited.
	gone raft.ServerID
	// yielded is when this server last agreed that another stands.
	yielded time.Time
	work    sync.WaitGroup
}

func newDetector(inner fullTransport, ways watched, cfg Config) *detector {
	d := &detector{
		fullTransport: inner, ways: ways, id: cfg.ID, peers: cfg.Peers, log: cfg.Log,
		rpcs: make(chan raft.RPC), quit: make(chan struct{}),
	}
	ways.onEnd(d.ended)
	d.work.Go(d.forward)
	return d
}

// Consumer implements raft.Transport.
func (d *detector) Consumer() <-chan raft.RPC { return d.rpcs }

// forward hands on what others say to raft, but for questions of detectors.
func (d *detector) forward() {
	for {
		select {
		case rpc := <-d.fullTransport.Consumer():
			if q, ok := rpc.Command.(*raft.RequestPreVoteRequest); ok && q.Term == 0 {
				d.answer(rpc, q)
				continue
			}
			d.hand(rpc)
		case <-d.quit:
			return
		}
	}
}

func (d *detector) hand(rpc raft.RPC) {
	select {
	case d.rpcs <- rpc:
	case <-d.quit:
	}
}

// ended looks into it where it was the leader's connection that ended.
func (d *detector) ended(server string) {
	address, leader := d.follows()
	if server == "" || leader != raft.ServerID(server) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.looking || d.stopped {
		return
	}
	d.looking = true
	d.work.Go(func() { d.look(leader, address) })
}

// follows is the leader that this server follows; none where it follows nobody.
func (d *detector) follows() (raft.ServerAddress, raft.ServerID) {
	r := d.raft.Load()
	if r == nil || r.State() != raft.Follower {
		return "", ""
	}
	return r.LeaderWithID()
}

func (d *detector) look(leader raft.ServerID, address raft.ServerAddress) {
	defer d.find("", false)
	if !d.refused(address) {
		return
	}
	d.find(leader, true)
	pause := time.Duration(d.rank(leader)) * rankPause
	for end := time.Now().Add(askFor); time.Now().Before(end) && d.sleep(pause); pause = askPause {
		if _, still := d.follows(); still != leader {
			return
		}
		if d.yieldedSince(time.Now().Add(-rankPause)) {
			continue // who was agreed to stands by now
		}
		asked := time.Now()
		switch agreed := d.agreed(leader); {
		case agreed && d.yieldedSince(asked): // two ask at one time, and would share the votes
			d.sleep(time.Duration(d.rank(leader)+1) * rankPause)
		case agreed:
			d.log.Warn("the leader's process is gone; standing for election", "leader", leader)
			d.stand()
			return
		}
	}
}

// yieldedSince tells whether this server has agreed that another stands.
func (d *detector) yieldedSince(then time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.yielded.After(then)
}

// find notes which leader is gone, and whether a look goes on.
func (d *detector) find(gone raft.ServerID, looking bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone, d.looking = gone, looking
}

// refused tells whether connections to the leader are refused: its machine is
// there, and nobody listens.
func (d *detector) refused(address raft.ServerAddress) bool {
	for i, seen := 0, 0; i < dials; i++ {
		if i > 0 && !d.sleep(dialPause) {
			return false
		}
		switch err := d.ways.try(address); {
		case err == nil:
			return false
		case !errors.Is(err, syscall.ECONNREFUSED):
			seen = 0
		default:
			seen++
		}
		if seen == refusals {
			return true
		}
	}
	return false
}

// sleep is false where the server stops.
func (d *detector) sleep(pause time.Duration) bool {
	select {
	case <-time.After(pause):
		return true
	case <-d.quit:
		return false
	}
}

// rank is this server's place in the line of followers.
func (d *detector) rank(leader raft.ServerID) int {
	line := d.others(leader, "")
	return slices.IndexFunc(line, func(p Peer) bool { return p.ID == d.id })
}

// others are all servers but two.
func (d *detector) others(not raft.ServerID, nor string) []Peer {
	return slices.DeleteFunc(slices.Clone(d.peers), func(p Peer) bool { return p.ID == string(not) || p.ID == nor })
}

// agreed asks the other followers once, and tells whether a majority of all
// servers, this one included, finds the leader gone and this one's log no shorter
// than its own.
func (d *detector) agreed(leader raft.ServerID) bool {
	others := d.others(leader, d.id)
	answers := make(chan bool, len(others))
	for _, p := range others {
		d.work.Go(func() { answers <- d.ask(p) })
	}
	late := time.After(askTime)
	for yes := 1; ; {
		if yes > len(d.peers)/2 {
			return true
		}
		if len(others) == 0 {
			return false
		}
		select {
		case agrees := <-answers:
			others = others[1:]
			if agrees {
				yes++
			}
		case <-late:
			return false
		}
	}
}

// ask puts the question in raft's own words: a pre-vote, for a term that no
// candidate stands for. Whoever takes it for a pre-vote refuses it.
func (d *detector) ask(p Peer) bool {
	q := &raft.RequestPreVoteRequest{RPCHeader: d.header(), LastLogIndex: d.raft.Load().LastIndex()}
	var res raft.RequestPreVoteResponse
	err := d.RequestPreVote(raft.ServerID(p.ID), raft.ServerAddress(p.Address), q, &res)
	return err == nil && res.Granted
}

func (d *detector) answer(rpc raft.RPC, q *raft.RequestPreVoteRequest) {
	_, leader := d.follows()
	d.mu.Lock()
	agrees := d.gone != "" && d.gone == leader && q.LastLogIndex >= d.raft.Load().LastIndex()
	if agrees {
		d.yielded = time.Now()
	}
	d.mu.Unlock()
	rpc.Respond(&raft.RequestPreVoteResponse{RPCHeader: d.header(), Granted: agrees}, nil)
}

// stand has raft stand for election.
func (d *detector) stand() {
	done := make(chan raft.RPCResponse, 1)
	d.hand(raft.RPC{Command: &raft.TimeoutNowRequest{RPCHeader: d.header()}, RespChan: done})
	select {
	case <-done:
	case <-d.quit:
	}
}

func (d *detector) header() raft.RPCHeader {
	self := d.EncodePeer(raft.ServerID(d.id), d.LocalAddr())
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(d.id), Addr: self}
}

// stop ends it. The transport must be closed before: a question may be under way.
func (d *detector) stop() {
	d.mu.Lock()
	d.stopped = true
	d.mu.Unlock()
	close(d.quit)
	d.work.Wait()
}
