package consensus

import (
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// Standing is how one server stands in consensus at one moment.
type Standing struct {
	// State is one of States.
	State string
	// Leader is the id of the leader as this server knows it, or empty.
	Leader string
	Term   uint64
	// Commit, Applied and Last are log indexes: of the last entry known to be
	// committed, handed to the machine, and held in the log.
	Commit, Applied, Last uint64
	// Contact is how long ago a leader was last heard of, 0 on the leader itself.
	// Heard is false where none ever was.
	Contact time.Duration
	Heard   bool
	// Servers is how many there are in the configuration, this one included.
	Servers int
	// Changes is how often this server has heard that somebody came to lead.
	Changes uint64
}

// States are all that a server can be in.
func States() []string {
	var all []string
	for _, s := range []raft.RaftState{raft.Follower, raft.Candidate, raft.Leader, raft.Shutdown} {
		all = append(all, strings.ToLower(s.String()))
	}
	return all
}

// Standing reads memory alone: it does not wait for the log, nor for other servers.
func (c *Consensus) Standing() Standing {
	state, contact := c.raft.State(), c.raft.LastContact()
	s := Standing{
		State: strings.ToLower(state.String()), Leader: c.Leader(), Term: c.raft.CurrentTerm(),
		Commit: c.raft.CommitIndex(), Applied: c.raft.AppliedIndex(), Last: c.raft.LastIndex(),
		Heard:   state == raft.Leader || !contact.IsZero(),
		Servers: len(c.raft.GetConfiguration().Configuration().Servers), Changes: c.leaders.Load(),
	}
	if state != raft.Leader && s.Heard {
		s.Contact = time.Since(contact)
	}
	return s
}

// heardOf tells those who wait for news of a leader, and counts those that came
// up after another one, or after none.
func (c *Consensus) heardOf(o raft.Observation, last raft.ServerID) raft.ServerID {
	c.replaceLeaderNews()
	seen, ok := o.Data.(raft.LeaderObservation)
	if !ok {
		return last
	}
	if seen.LeaderID != "" && seen.LeaderID != last {
		c.leaders.Add(1)
	}
	return seen.LeaderID
}
