package fleet

import (
	"maps"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	"squall/proto/hist"
	pb "squall/proto/squall/v1"
)

// maxWindows is how many windows may wait for a commit, windowBytes how much
// of one command they may take, partBytes how much of memory what agents sent may
// take until then, and hostCount and hostWindows one host's part of that. Past any
// of them, batches are left unacknowledged: agents keep them and send them again.
const (
	maxWindows  = 4096
	windowBytes = 3 << 20
	partBytes   = 16 << 20
	hostCount   = maxWindows / 8
	hostWindows = 512 << 10
)

// windowKey is what windows are merged by.
type windowKey struct {
	run, probe, zone string
	second           int64
}

// merger gathers closed windows. Those of one second, probe and zone become
// one; one that travels again stays by itself, so that the machine can drop it
// without dropping others' readings. A merged one that the machine drops because
// of one of its hosts is sent again in its parts.
type merger struct {
	wake signal

	mu     sync.Mutex // guards all below
	merged map[windowKey]*travelling
	single []*travelling
	// size is that of the windows as they will travel, parts that of those which
	// agents sent, in bytes, and byHost what each host has brought.
	size, parts int
	byHost      map[string]share
}

// share is how many windows a host has brought, and their bytes.
type share struct{ windows, bytes int }

// travelling is a window on its way into a command, and what it is made of.
type travelling struct {
	window *pb.Window
	parts  []part
}

// part is a window as an agent sent it, and the batch that it came in.
type part struct {
	window *pb.Window
	of     *batch
}

// batch is what an agent sent at one time: it is acknowledged when nothing of it
// is left to commit.
type batch struct {
	left int
	ack  func()
}

func newMerger() *merger {
	m := &merger{wake: make(signal, 1)}
	m.clear()
	return m
}

func (m *merger) clear() {
	m.merged, m.single = make(map[windowKey]*travelling), nil
	m.size, m.parts, m.byHost = 0, 0, make(map[string]share)
}

func (m *merger) ready() <-chan struct{} { return m.wake }

// add takes a batch of a host, or of this server where that is "". It must not be
// changed afterwards; ack is called when all of it is committed. It reports false
// when there is no room.
func (m *merger) add(host string, windows []*pb.Window, again bool, ack func()) bool {
	if len(windows) == 0 { // there is nothing to wait for
		acknowledge(ack)
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	size := 0
	for _, w := range windows {
		size += proto.Size(w)
	}
	full := len(m.merged)+len(m.single)+len(windows) > maxWindows || m.size+size > windowBytes || m.parts+size > partBytes
	own := share{m.byHost[host].windows + len(windows), m.byHost[host].bytes + size}
	greedy := host != "" && (own.windows > hostCount || own.bytes > hostWindows)
	if full || greedy {
		return false
	}
	m.byHost[host] = own
	m.parts += size
	of := &batch{len(windows), ack}
	for _, w := range windows {
		if p := (part{w, of}); again || !m.merge(p) {
			m.alone(p)
		}
	}
	m.wake.set()
	return true
}

func acknowledge(ack func()) {
	if ack != nil {
		ack()
	}
}

// alone lets a window travel by itself.
func (m *merger) alone(p part) {
	m.single = append(m.single, &travelling{p.window, []part{p}})
	m.size += proto.Size(p.window)
}

func (m *merger) take() (*pb.Command, func(*pb.Outcome)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.Collect(maps.Values(m.merged))
	// Last, so that of a reading that is in both the single one is dropped.
	all = append(all, m.single...)
	m.clear()
	if len(all) == 0 {
		return nil, nil
	}
	record := &pb.RecordWindows{}
	for _, t := range all {
		record.Windows = append(record.Windows, t.window)
	}
	committed := func(o *pb.Outcome) { m.committed(all, o) }
	return &pb.Command{Kind: &pb.Command_RecordWindows{RecordWindows: record}}, committed
}

// committed acknowledges batches of which nothing is left, and lets the parts of
// windows that were dropped for one host's sake travel by themselves.
func (m *merger) committed(all []*travelling, o *pb.Outcome) {
	m.mu.Lock()
	var acks []func()
	for i, t := range all {
		if slices.Contains(o.GetParted(), uint32(i)) {
			for _, p := range t.parts {
				m.alone(p)
			}
			m.wake.set()
			continue
		}
		for _, p := range t.parts {
			if p.of.left--; p.of.left == 0 {
				acks = append(acks, p.of.ack)
			}
		}
	}
	m.mu.Unlock()
	for _, ack := range acks {
		acknowledge(ack)
	}
}

// merge puts a window into the one of its second. It reports false where that
// holds a reading of the same host, or one of them is malformed.
func (m *merger) merge(p part) bool {
	w := p.window
	k := windowKey{w.GetRun(), w.GetProbe(), w.GetZone(), w.GetSecond()}
	into := m.merged[k]
	if into == nil {
		m.merged[k] = &travelling{w, []part{p}}
		m.size += proto.Size(w)
		return true
	}
	if hist.Overlap(into.window, w) || hist.Check(w.GetLatency()) != nil || hist.Check(into.window.GetLatency()) != nil {
		return false
	}
	m.size -= proto.Size(into.window)
	if len(into.parts) == 1 {
		into.window = proto.CloneOf(into.window) // what the agent sent stays as it is
	}
	hist.AddWindow(into.window, w)
	into.parts = append(into.parts, p)
	m.size += proto.Size(into.window)
	return true
}

// bitOf is a bitmap with one bit set, lowest first.
func bitOf(n int) []byte {
	out := make([]byte, n/8+1)
	out[n/8] = 1 << (n % 8)
	return out
}
