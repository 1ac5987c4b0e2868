package consensus

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// recheck is how often a message that waits for a dead peer looks whether its
// sender still leads.
const recheck = 100 * time.Millisecond

// fullTransport is what raft can make use of.
type fullTransport interface {
	raft.Transport
	raft.WithPreVote
	raft.WithClose
}

// patient keeps raft from backing off from a peer that can't be reached. Raft
// doubles the pause after each failure, to 10 s, and goes on waiting when the
// peer is back. Here a message that failed returns when the peer has answered a
// heartbeat, so that there is one failure and a pause of 10 ms. Heartbeats
// themselves are not held: raft counts on their failing.
type patient struct {
	fullTransport
	raft atomic.Pointer[raft.Raft]

	mu   sync.Mutex // guards back
	back map[raft.ServerID]chan struct{}
}

func newPatient(inner fullTransport) *patient {
	return &patient{fullTransport: inner, back: make(map[raft.ServerID]chan struct{})}
}

// AppendEntries implements raft.Transport.
func (p *patient) AppendEntries(id raft.ServerID, to raft.ServerAddress, req *raft.AppendEntriesRequest, res *raft.AppendEntriesResponse) error {
	err := p.fullTransport.AppendEntries(id, to, req, res)
	switch {
	case heartbeat(req) && err == nil:
		p.answered(id)
	case !heartbeat(req) && err != nil:
		p.wait(id, req.Term)
	}
	return err
}

// InstallSnapshot implements raft.Transport.
func (p *patient) InstallSnapshot(id raft.ServerID, to raft.ServerAddress, req *raft.InstallSnapshotRequest, res *raft.InstallSnapshotResponse, data io.Reader) error {
	err := p.fullTransport.InstallSnapshot(id, to, req, res, data)
	if err != nil {
		p.wait(id, req.Term)
	}
	return err
}

// heartbeat tells raft's heartbeats from its other messages as raft does.
func heartbeat(r *raft.AppendEntriesRequest) bool {
	return r.PrevLogEntry == 0 && r.PrevLogTerm == 0 && len(r.Entries) == 0 && r.LeaderCommitIndex == 0
}

// answered lets go whatever waits for a peer.
func (p *patient) answered(id raft.ServerID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if waits := p.back[id]; waits != nil {
		close(waits)
		delete(p.back, id)
	}
}

// wait returns when a peer has answered, or this server does not lead any more.
func (p *patient) wait(id raft.ServerID, term uint64) {
	p.mu.Lock()
	if p.back[id] == nil {
		p.back[id] = make(chan struct{})
	}
	answered := p.back[id]
	p.mu.Unlock()
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	for p.leads(term) {
		select {
		case <-answered:
			return
		case <-tick.C:
		}
	}
}

func (p *patient) leads(term uint64) bool {
	r := p.raft.Load()
	return r != nil && r.State() == raft.Leader && r.CurrentTerm() == term
}
