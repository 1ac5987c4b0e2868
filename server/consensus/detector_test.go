package consensus

import (
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// deaf has no follower wait for its leader's silence any more: whatever election
// comes now, no timeout called for it.
func deaf(t *testing.T, nodes []*node) {
	t.Helper()
	for _, s := range nodes {
		rc := s.raft.ReloadableConfig()
		rc.HeartbeatTimeout, rc.ElectionTimeout = time.Hour, time.Hour
		if err := s.raft.ReloadConfig(rc); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(2 * calm().Heartbeat) // a timer of before finds its leader well
}

// TestLeaderWhoseProcessIsGoneIsNotWaitedOut kills the leader, and some followers
// with it, where only closed connections can tell of it.
func TestLeaderWhoseProcessIsGoneIsNotWaitedOut(t *testing.T) {
	for name, c := range map[string]struct{ servers, dead int }{
		"one of three":                       {3, 1},
		"one of five":                        {5, 1},
		"two of five, with the next in line": {5, 2},
	} {
		t.Run(name, func(t *testing.T) {
			nodes := newCluster(t, c.servers, calm())
			propose(t, nodes, greet("web"))
			settle(t, nodes)
			lead := leader(t, nodes)
			deaf(t, nodes)
			rest := others(nodes, lead)
			for range c.dead - 1 {
				next := slices.MinFunc(rest, func(a, b *node) int {
					return a.detector.rank(raft.ServerID(lead.cfg.ID)) - b.detector.rank(raft.ServerID(lead.cfg.ID))
				})
				rest = others(rest, next)
				next.crash()
			}
			lead.crash()
			began := time.Now()
			next := leader(t, rest)
			t.Logf("%s leads after %s", next.cfg.ID, time.Since(began))
			propose(t, rest, greet("db"))
			settle(t, rest)
		})
	}
}

// answering tries a leader that answers in turn as it says, the last for ever.
type answering struct {
	watched
	answers *[]error
}

func (a answering) try(raft.ServerAddress) error {
	err := (*a.answers)[0]
	if len(*a.answers) > 1 {
		*a.answers = (*a.answers)[1:]
	}
	return err
}

// TestProcessIsGoneWhenItRefusesTwice in a row: what comes between, as while it
// ends, proves nothing, and an answer proves that it lives.
func TestProcessIsGoneWhenItRefusesTwice(t *testing.T) {
	no, reset := error(syscall.ECONNREFUSED), error(syscall.ECONNRESET)
	for name, c := range map[string]struct {
		answers []error
		gone    bool
	}{
		"refused twice":                     {[]error{no, no, nil}, true},
		"its port closes after the rest":    {[]error{reset, reset, no, no, nil}, true},
		"it is back":                        {[]error{no, nil}, false},
		"it answers":                        {[]error{nil}, false},
		"it is silent":                      {[]error{os.ErrDeadlineExceeded}, false},
		"refused between other failures":    {[]error{no, reset, no, reset, no, nil}, false},
		"its network fails, and then it is": {[]error{reset, reset, nil}, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := &detector{ways: answering{nil, &c.answers}, quit: make(chan struct{})}
			if got := d.refused("s1"); got != c.gone {
				t.Errorf("gone: %t", got)
			}
		})
	}
}

// TestNobodyStandsAgainstALeaderThatLives ends the leader's connections: for a
// moment, and for good but for one follower alone. Its term goes on.
func TestNobodyStandsAgainstALeaderThatLives(t *testing.T) {
	no := error(syscall.ECONNREFUSED)
	for name, answers := range map[string][2]error{
		"a connection ends, and the next is accepted": {nil, nil},
		"one follower is refused":                     {no, nil},
	} {
		t.Run(name, func(t *testing.T) {
			nodes := newCluster(t, 3, calm())
			propose(t, nodes, greet("web"))
			settle(t, nodes)
			lead := leader(t, nodes)
			term := lead.raft.CurrentTerm()
			for i, s := range others(nodes, lead) {
				s.detector.ways = answering{s.detector.ways, &[]error{answers[i]}}
			}
			for _, s := range others(nodes, lead) {
				s.detector.ended(lead.cfg.ID)
			}
			time.Sleep(askFor + 4*askTime)
			propose(t, nodes, greet("db"))
			if now := lead.raft.CurrentTerm(); now != term || leader(t, nodes) != lead {
				t.Errorf("term %d of %s, after %d of %s", now, leader(t, nodes).cfg.ID, term, lead.cfg.ID)
			}
		})
	}
}

// TestFollowerWithAShorterLogLetsTheOtherStand keeps the last entries from the
// first in line: it finds nobody to agree.
func TestFollowerWithAShorterLogLetsTheOtherStand(t *testing.T) {
	nodes := newCluster(t, 3, calm())
	propose(t, nodes, greet("web"))
	settle(t, nodes)
	lead := leader(t, nodes)
	rest := others(nodes, lead)
	for _, s := range rest {
		s.detector.find(raft.ServerID(lead.cfg.ID), true)
	}
	q := func(index uint64) bool {
		done := make(chan raft.RPCResponse, 1)
		rest[1].detector.answer(raft.RPC{RespChan: done}, &raft.RequestPreVoteRequest{LastLogIndex: index})
		return (<-done).Response.(*raft.RequestPreVoteResponse).Granted
	}
	last := rest[1].raft.LastIndex()
	if q(last-1) || !q(last) || !q(last+1) {
		t.Errorf("at index %d it agrees that others stand: %t with less, %t with as much, %t with more", last, q(last-1), q(last), q(last+1))
	}
	rest[1].detector.find("", false)
	if q(last) {
		t.Error("it agrees though its leader is there")
	}
}

// TestWhoAgreedLetsTheOtherStand: a follower that has agreed to another's standing
// gives it time, for two at once share the votes.
func TestWhoAgreedLetsTheOtherStand(t *testing.T) {
	nodes := newCluster(t, 3, calm())
	propose(t, nodes, greet("web"))
	settle(t, nodes)
	lead := leader(t, nodes)
	id := raft.ServerID(lead.cfg.ID)
	for _, s := range others(nodes, lead) {
		s.detector.ways = answering{s.detector.ways, &[]error{syscall.ECONNREFUSED}}
		s.detector.find(id, true)
	}
	first := others(nodes, lead)[0].detector
	done := make(chan raft.RPCResponse, 1)
	agreed := time.Now()
	first.answer(raft.RPC{RespChan: done}, &raft.RequestPreVoteRequest{LastLogIndex: first.raft.Load().LastIndex()})
	if answer := (<-done).Response.(*raft.RequestPreVoteResponse); !answer.Granted {
		t.Fatal("it does not agree")
	}
	first.look(id, raft.ServerAddress(lead.cfg.Listener.Addr().String()))
	if took := time.Since(agreed); took < rankPause {
		t.Errorf("it stood %s after it had agreed that another stands", took)
	}
}
