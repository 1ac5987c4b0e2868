package session

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"squall/agent/host"
	pb "squall/proto/squall/v1"
)

// maxServers bounds the servers that a host learns of.
const maxServers = 64

// Servers are the agent doors that a host knows, those of its bundle and those
// that servers told it of: the one set for who is dialed and who is exempt from
// the host's faults. Its methods may be called from any goroutine.
type Servers struct {
	mu  sync.Mutex // guards all
	all []string
}

// NewServers begins with the doors of the bundle, host:port or unix:PATH.
func NewServers(first []string) *Servers { return &Servers{all: slices.Clone(first)} }

// All is every door known now, those of the bundle first.
func (s *Servers) All() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// learn adds doors that are new and can be dialed without DNS.
func (s *Servers) learn(doors []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range doors {
		if len(s.all) < maxServers && dialable(d) && !slices.Contains(s.all, d) {
			s.all = append(s.all, d)
		}
	}
}

func dialable(door string) bool {
	_, err := netip.ParseAddrPort(door)
	return err == nil || strings.HasPrefix(door, "unix:")
}

// Exempting is a host whose facts exempt every server known now, so that every
// fault that is planned leaves the way to them open.
func (s *Servers) Exempting(h host.Host) host.Host { return exemptingHost{h, s} }

type exemptingHost struct {
	host.Host
	servers *Servers
}

// Facts implements host.Host.
func (h exemptingHost) Facts(ctx context.Context) (*pb.Facts, error) {
	f, err := h.Host.Facts(ctx)
	if err != nil {
		return nil, err
	}
	local := func(door string) bool { return strings.HasPrefix(door, "unix:") } // no fault is in its way
	e := f.GetExempt()
	f.Exempt = &pb.Exempt{
		Mark: e.GetMark(), Servers: slices.DeleteFunc(h.servers.All(), local), Management: e.GetManagement(),
	}
	return f, nil
}
