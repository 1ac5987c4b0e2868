package session

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// maxServers bounds the servers that a host learns of.
const maxServers = 64

// Servers are the agent doors that a host knows, those of its bundle and those
// that servers told it of: the one set for who is dialed and who is exempt from
// the host's faults. Its methods may be called from any goroutine.
type Servers struct {
	exempt func(servers []string) error
	log    *slog.Logger

	mu  sync.Mutex // guards all
	all []string
}

// NewServers begins with the doors of the bundle, host:port or unix:PATH. Exempt
// is told of each set before anybody is dialed: it lets the way to them through
// the host's faults, those that hold included.
func NewServers(first []string, exempt func(servers []string) error, log *slog.Logger) *Servers {
	s := &Servers{exempt: exempt, log: log, all: slices.Clone(first)}
	s.tell(first)
	return s
}

// All is every door known now, those of the bundle first.
func (s *Servers) All() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// learn adds doors that are new and can be dialed without DNS.
func (s *Servers) learn(doors []string) {
	if fresh := s.add(doors); len(fresh) > 0 {
		s.tell(fresh)
	}
}

// add returns those that are new.
func (s *Servers) add(doors []string) (fresh []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range doors {
		if len(s.all) < maxServers && dialable(d) && !slices.Contains(s.all, d) {
			s.all, fresh = append(s.all, d), append(fresh, d)
		}
	}
	return fresh
}

// tell exempts doors from the host's faults.
func (s *Servers) tell(doors []string) {
	if err := s.exempt(doors); err != nil {
		s.log.Error("keep the way to servers open", "err", err)
	}
}

func dialable(door string) bool {
	_, err := netip.ParseAddrPort(door)
	return err == nil || strings.HasPrefix(door, "unix:")
}
