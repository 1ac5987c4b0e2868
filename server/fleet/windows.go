package fleet

import (
	"sync"

	"google.golang.org/protobuf/proto"

	"squall/proto/hist"
	pb "squall/proto/squall/v1"
)

// maxWindows is how many windows may wait for a commit, and windowBytes how much
// of memory and of one command they may take; hostWindows is one host's part of
// that. Past either, batches are left unacknowledged: agents keep them and send
// them again.
const (
	maxWindows  = 4096
	windowBytes = 3 << 20
	hostWindows = 512 << 10
)

// windowKey is what windows are merged by.
type windowKey struct {
	run, probe, zone string
	second           int64
}

// merger gathers closed windows. Those of one second, probe and zone become
// one; one that travels again stays by itself, so that the machine can drop it
// without dropping others' readings.
type merger struct {
	wake signal

	mu     sync.Mutex // guards all below
	merged map[windowKey]*pb.Window
	single []*pb.Window
	acks   []func()
	// size is that of all windows, and byHost what each host has brought, in bytes.
	size   int
	byHost map[string]int
}

func newMerger() *merger {
	return &merger{wake: make(signal, 1), merged: make(map[windowKey]*pb.Window), byHost: make(map[string]int)}
}

func (m *merger) ready() <-chan struct{} { return m.wake }

// add takes a batch of a host, which must not be changed afterwards; ack is
// called when all of it is committed. It reports false when there is no room.
func (m *merger) add(host string, windows []*pb.Window, again bool, ack func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	size := 0
	for _, w := range windows {
		size += proto.Size(w)
	}
	full := len(m.merged)+len(m.single)+len(windows) > maxWindows || m.size+size > windowBytes
	if full || m.byHost[host]+size > hostWindows {
		return false
	}
	m.byHost[host] += size
	for _, w := range windows {
		if again || !m.merge(w) {
			m.single = append(m.single, w)
			m.size += proto.Size(w)
		}
	}
	if ack != nil {
		m.acks = append(m.acks, ack)
	}
	m.wake.set()
	return true
}

func (m *merger) take() (*pb.Command, func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	acks := m.acks
	committed := func() {
		for _, ack := range acks {
			ack()
		}
	}
	batch := &pb.RecordWindows{}
	for _, w := range m.merged {
		batch.Windows = append(batch.Windows, w)
	}
	// Last, so that of a reading that is in both the single one is dropped.
	batch.Windows = append(batch.Windows, m.single...)
	m.merged, m.single, m.acks = make(map[windowKey]*pb.Window), nil, nil
	m.size, m.byHost = 0, make(map[string]int)
	if len(batch.GetWindows()) == 0 {
		committed() // a batch of nothing: there is nothing to wait for
		return nil, nil
	}
	return &pb.Command{Kind: &pb.Command_RecordWindows{RecordWindows: batch}}, committed
}

// merge puts a window into the one of its second. It reports false where that
// holds a reading of the same host, or one of them is malformed.
func (m *merger) merge(w *pb.Window) bool {
	k := windowKey{w.GetRun(), w.GetProbe(), w.GetZone(), w.GetSecond()}
	into := m.merged[k]
	if into == nil {
		m.merged[k] = proto.CloneOf(w)
		m.size += proto.Size(w)
		return true
	}
	if hist.Overlap(into, w) || hist.Check(w.GetLatency()) != nil || hist.Check(into.GetLatency()) != nil {
		return false
	}
	m.size -= proto.Size(into)
	hist.AddWindow(into, w)
	m.size += proto.Size(into)
	return true
}

// bitOf is a bitmap with one bit set, lowest first.
func bitOf(n int) []byte {
	out := make([]byte, n/8+1)
	out[n/8] = 1 << (n % 8)
	return out
}
