package judge

import pb "squall/proto/squall/v1"

// hearing is what was last heard of a source: of each host, and of each zone.
type hearing struct {
	source *source
	hosts  []heard
	// servers are by their place among the servers; who never spoke is not expected.
	servers []heard
	zones   []heardZone
}

// heard is the newest reading of one host: its window's second, and an instant
// in it. Never heard is the zero value.
type heard struct {
	any            bool
	second, newest int64
}

// heardZone holds the newest window of a zone, and the newest that all its hosts are in.
type heardZone struct{ newest, whole *pb.Window }

func newHearing(s *source) *hearing {
	return &hearing{source: s, hosts: make([]heard, len(s.hosts)), zones: make([]heardZone, len(s.zones))}
}

// note takes a zone's window of one second. Windows are noted in the order of
// their seconds; one that has grown may be noted again.
func (h *hearing) note(zone int, w *pb.Window) {
	z, at := h.source.zones[zone], heard{any: true, second: w.GetSecond(), newest: newestAttempt(w)}
	hosts := &h.hosts
	if z.control {
		hosts = &h.servers
	}
	for bit := range 8 * len(w.GetHosts()) {
		if !has(w.GetHosts(), bit) {
			continue
		}
		if z.control && bit >= len(*hosts) && bit < maxServers {
			*hosts = append(*hosts, make([]heard, bit+1-len(*hosts))...)
		}
		if bit < len(*hosts) && (!(*hosts)[bit].any || (*hosts)[bit].second <= at.second) {
			(*hosts)[bit] = at
		}
	}
	h.noteZone(&h.zones[zone], z, w)
}

// maxServers bounds what a window says of servers.
const maxServers = 64

func (h *hearing) noteZone(known *heardZone, z *zoneSource, w *pb.Window) {
	if known.newest == nil || known.newest.GetSecond() <= w.GetSecond() {
		known.newest = w
	}
	if z.complete(w) && (known.whole == nil || known.whole.GetSecond() <= w.GetSecond()) {
		known.whole = w
	}
}

// freshness is who has spoken of a source at a moment, and what that makes of it.
type freshness struct {
	// heard, missing and dark are bitmaps of its hosts.
	heard, missing, dark []byte
	// servers are the same of the servers.
	serversHeard, serversMissing []byte
	// state is holds where there is data.
	state outcome
}

// stand judges who has spoken at the end of a moment, of what began with its
// first second.
func (h *hearing) freshness(at, begin int64, d *darkness) *freshness {
	s := &freshness{state: holds}
	spoken, late, soon := 0, 0, 0
	note := func(o outcome) {
		switch o {
		case holds:
			spoken++
		case missing:
			late++
		case early:
			soon++
		}
	}
	for bit, host := range h.hosts {
		excused := !h.source.counts && d.host(h.source.hosts[bit], h.source, at)
		note(s.host(h.source, bit, host, excused, at, begin))
	}
	if h.source.control() {
		h.freshServers(s, at, begin, d.serversDown(h.source, at), note)
	}
	switch {
	case late > 0 || soon == 0 && spoken == 0:
		s.state = missing
	case soon > 0:
		s.state = early
	}
	return s
}

func (s *source) control() bool { return len(s.zones) > 0 && s.zones[len(s.zones)-1].control }

// host judges one host, and notes it. One that is excused counts only where it speaks.
func (s *freshness) host(of *source, bit int, h heard, excused bool, at, begin int64) outcome {
	switch o := fresh(of, h, at, begin); {
	case o == holds:
		s.heard = set(s.heard, bit)
		return o
	case excused:
		s.dark = set(s.dark, bit)
		return broken
	case o == missing:
		s.missing = set(s.missing, bit)
		return o
	default:
		return o
	}
}

// fresh tells whether a host has spoken lately and since a second began, could
// still be early, or is missing.
func fresh(of *source, h heard, at, begin int64) outcome {
	switch {
	case h.any && h.second >= begin && at-h.newest <= of.limit():
		return holds
	case h.any && h.second >= begin, at >= of.earlyUntil(begin*nanos):
		return missing
	}
	return early
}

// freshServers judges the servers: each that ever spoke is to go on, but for as
// many as the run itself has taken down.
func (h *hearing) freshServers(s *freshness, at, begin int64, down int, note func(outcome)) {
	expected := false
	for bit, server := range h.servers {
		if !server.any {
			continue
		}
		expected = true
		o := fresh(h.source, server, at, begin)
		switch {
		case o == holds:
			s.serversHeard = set(s.serversHeard, bit)
		case down > 0:
			down--
			continue
		case o == missing:
			s.serversMissing = set(s.serversMissing, bit)
		}
		note(o)
	}
	if !expected {
		note(fresh(h.source, heard{}, at, begin))
	}
}

// age is how old the newest reading is, of the host for which it is oldest:
// one that has gone blind is not made up for by others. It is early where one
// that never spoke may not have yet, missing where nobody is left to speak.
func (h *hearing) age(at, since int64, d *darkness) (int64, outcome) {
	ages, soon := h.ages(at, since, d)
	switch {
	case len(ages) == 0 && !soon:
		return 0, missing
	case soon:
		return 0, early
	}
	oldest := int64(0)
	for _, a := range ages {
		oldest = max(oldest, a)
	}
	return oldest, holds
}

// ages are those of all that are to speak; soon tells that one may not have yet.
func (h *hearing) ages(at, since int64, d *darkness) (ages []int64, soon bool) {
	add := func(one heard) {
		switch {
		case one.any:
			ages = append(ages, max(at-one.newest, 0))
		case at < h.source.earlyUntil(since*nanos):
			soon = true
		default:
			ages = append(ages, at-since*nanos)
		}
	}
	for bit, host := range h.hosts {
		if fresh(h.source, host, at, since) == holds || h.source.counts || !d.host(h.source.hosts[bit], h.source, at) {
			add(host)
		}
	}
	if h.source.control() {
		h.serverAges(d.serversDown(h.source, at), at, since, add)
	}
	return ages, soon
}

func (h *hearing) serverAges(down int, at, since int64, add func(heard)) {
	expected := false
	for _, server := range h.servers {
		if !server.any {
			continue
		}
		expected = true
		if down > 0 && fresh(h.source, server, at, since) != holds {
			down--
			continue
		}
		add(server)
	}
	if !expected {
		add(heard{})
	}
}
