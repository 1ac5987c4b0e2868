package shop

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
)

// Set is a name and who stands behind it.
type Set struct {
	Name      string
	Addresses []netip.Addr
	// Port is where each is asked whether it is up.
	Port int
}

// ParseSet reads NAME:PORT=IP,IP….
func ParseSet(text string) (Set, error) {
	name, list, ok := strings.Cut(text, "=")
	host, port, err := net.SplitHostPort(name)
	if err != nil || !ok {
		return Set{}, fmt.Errorf("read set %q: want NAME:PORT=IP,IP", text)
	}
	s := Set{Name: dns.Fqdn(host)}
	if _, err := fmt.Sscanf(port, "%d", &s.Port); err != nil {
		return Set{}, fmt.Errorf("read set %q: port: %w", text, err)
	}
	for ip := range strings.SplitSeq(list, ",") {
		addr, err := netip.ParseAddr(ip)
		if err != nil {
			return Set{}, fmt.Errorf("read set %q: %w", text, err)
		}
		s.Addresses = append(s.Addresses, addr)
	}
	return s, nil
}

// Timing of the checks: a member that misses two in a row is left out.
const (
	checkEvery  = 500 * time.Millisecond
	checkMisses = 2
	answerTTL   = 1
)

// RunResolver serves the sets by DNS on port 53 of ip, UDP and TCP, until ctx ends.
func RunResolver(ctx context.Context, ip netip.Addr, sets []Set) error {
	r := &resolver{ip: ip, sets: sets, client: newHTTPClient(), misses: map[netip.AddrPort]int{}}
	tasks, ctx := errgroup.WithContext(ctx)
	for _, network := range []string{"udp", "tcp"} {
		server := &dns.Server{Addr: netip.AddrPortFrom(ip, 53).String(), Net: network, Handler: r}
		tasks.Go(func() error {
			defer context.AfterFunc(ctx, func() { _ = server.Shutdown() })()
			if err := server.ListenAndServe(); err != nil {
				return fmt.Errorf("serve %s: %w", network, err)
			}
			return nil
		})
	}
	for _, s := range sets {
		for _, a := range s.Addresses {
			tasks.Go(func() error { r.watch(ctx, netip.AddrPortFrom(a, uint16(s.Port))); return nil })
		}
	}
	return tasks.Wait()
}

// resolver answers for its zone.
type resolver struct {
	ip     netip.Addr
	sets   []Set
	client *http.Client

	mu     sync.Mutex
	misses map[netip.AddrPort]int // guarded by mu; missed checks in a row
}

// watch asks one member over and over whether it is up.
func (r *resolver) watch(ctx context.Context, member netip.AddrPort) {
	for {
		up := answers(ctx, r.client, checkEvery, "http://"+member.String()+"/up")
		r.mu.Lock()
		if r.misses[member]++; up {
			r.misses[member] = 0
		}
		r.mu.Unlock()
		if !sleep(ctx, checkEvery) {
			return
		}
	}
}

// ServeDNS answers one query.
func (r *resolver) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	answer := new(dns.Msg).SetReply(query)
	answer.Authoritative = true
	if len(query.Question) != 1 {
		answer.Rcode = dns.RcodeFormatError
	} else {
		r.answer(answer, query.Question[0])
	}
	_ = w.WriteMsg(answer) // who asked is gone
}

func (r *resolver) answer(to *dns.Msg, q dns.Question) {
	i := slices.IndexFunc(r.sets, func(s Set) bool { return strings.EqualFold(s.Name, q.Name) })
	if i < 0 {
		to.Rcode = dns.RcodeNameError
		return
	}
	if q.Qtype != dns.TypeA {
		return
	}
	for _, a := range r.members(r.sets[i]) {
		to.Answer = append(to.Answer, &dns.A{
			Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: answerTTL},
			A:   a.AsSlice(),
		})
	}
}

// members are those who are up, this zone's first. If nobody is, the checks
// are more likely wrong than everybody dead: then all are named.
func (r *resolver) members(s Set) []netip.Addr {
	zone, err := r.ip.Prefix(24)
	if err != nil {
		return s.Addresses
	}
	var near, far []netip.Addr
	for _, a := range s.Addresses {
		switch {
		case r.down(netip.AddrPortFrom(a, uint16(s.Port))):
		case zone.Contains(a):
			near = append(near, a)
		default:
			far = append(far, a)
		}
	}
	if len(near)+len(far) == 0 {
		return s.Addresses
	}
	return append(near, far...)
}

func (r *resolver) down(member netip.AddrPort) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.misses[member] >= checkMisses
}
