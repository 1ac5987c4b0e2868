package consensus

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Pauses before a peer that lacks an entry is told of its commit again.
const (
	firstPause = time.Millisecond
	lastPause  = 16 * time.Millisecond
)

// teller tells followers of a commit as soon as it is applied here. Raft alone
// tells them with its next message to them, 25 to 50 ms later where no further
// entry follows. What it sends is a message that raft itself might send at that
// moment: no entries, the newest committed one as that which they must have,
// and its index as the leader's. One that is lost or comes late does no harm.
type teller struct {
	id    string
	trans Transport
	peers []*toldPeer
	quit  chan struct{}
	work  sync.WaitGroup
}

// toldPeer is another server, and the newest commit that it is to be told of.
type toldPeer struct {
	id      raft.ServerID
	address raft.ServerAddress
	news    chan commit
}

// commit is an entry that was committed, and the leader's term in which it was seen.
type commit struct {
	index, logTerm, term uint64
}

func newTeller(id string, peers []Peer, trans Transport) *teller {
	t := &teller{id: id, trans: trans, quit: make(chan struct{})}
	for _, p := range peers {
		if p.ID == id {
			continue
		}
		told := &toldPeer{raft.ServerID(p.ID), raft.ServerAddress(p.Address), make(chan commit, 1)}
		t.peers = append(t.peers, told)
		t.work.Go(func() { t.serve(told) })
	}
	return t
}

// tell hands a commit on, in the place of older ones. It never waits. It is for
// one goroutine.
func (t *teller) tell(c commit) {
	for _, p := range t.peers {
		select {
		case <-p.news:
		default:
		}
		p.news <- c // one writer, one place
	}
}

func (t *teller) serve(p *toldPeer) {
	for {
		select {
		case c := <-p.news:
			t.deliver(p, c)
		case <-t.quit:
			return
		}
	}
}

// deliver tells a peer of a commit, again where the entry itself is still on its
// way to it, until it is time to tell of a newer one. A peer that can't be told
// hears of it from raft.
func (t *teller) deliver(p *toldPeer, c commit) {
	for pause := firstPause; pause <= lastPause; pause *= 2 {
		var res raft.AppendEntriesResponse
		err := t.trans.AppendEntries(p.id, p.address, t.message(c), &res)
		if err != nil || res.Success || res.Term > c.term || len(p.news) > 0 {
			return
		}
		select {
		case <-time.After(pause):
		case <-t.quit:
			return
		}
	}
}

func (t *teller) message(c commit) *raft.AppendEntriesRequest {
	self := t.trans.EncodePeer(raft.ServerID(t.id), t.trans.LocalAddr())
	return &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(t.id), Addr: self},
		Term:      c.term, PrevLogEntry: c.index, PrevLogTerm: c.logTerm, LeaderCommitIndex: c.index,
	}
}

// stop ends it. The transport must be closed before: a message may be under way.
func (t *teller) stop() {
	close(t.quit)
	t.work.Wait()
}
