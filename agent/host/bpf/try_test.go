package bpf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// everyTrial is one of each kind of program.
var everyTrial = map[string]*Trial{
	"silence": {Engine: "tcx", Port: 9, Counter: "dropped_out", Attach: func(loader *Loader, g *pb.Gate) (Attachment, error) {
		return loader.Silence(g, &pb.Silence{}, nil)
	}},
	"dns.drop": {Engine: "tcx", Port: 53, Counter: "queries_dropped", Attach: func(loader *Loader, g *pb.Gate) (Attachment, error) {
		return loader.DropDNS(g, &pb.DropDNS{SharePpm: wholePPM})
	}},
	"delay.line": {Engine: "delay line", Port: 9, Counter: "delayed_out", Attach: func(loader *Loader, g *pb.Gate) (Attachment, error) {
		return loader.Delay(g, &pb.DelayLine{DelayNanos: 1e6, Direction: pb.Direction_DIRECTION_OUT})
	}},
	"hold.exec": {Engine: "raw tracepoint", Attach: func(loader *Loader, g *pb.Gate) (Attachment, error) {
		return loader.HoldDown(g, []uint64{1<<64 - 1}) // nobody's
	}},
}

func TestTryProvesEachMechanism(t *testing.T) {
	loader := newLoader(t)
	start := time.Now()
	found := loader.Try(everyTrial)
	t.Log("all together took", time.Since(start))
	for name := range everyTrial {
		if f := found[name]; f.Err != nil || f.Engine == "" {
			t.Errorf("%s: %q, %v", name, f.Engine, f.Err)
		}
	}
}

// heldObjects counts the programs and maps that this process holds.
func heldObjects(t *testing.T) (n int) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	must(t, err)
	for _, fd := range fds {
		if what, _ := os.Readlink(fd); strings.HasPrefix(what, "anon_inode:bpf") {
			n++
		}
	}
	return n
}

// TestTryKeepsNothing: an agent lives for months after its trials.
func TestTryKeepsNothing(t *testing.T) {
	loader := newLoader(t)
	before := heldObjects(t)
	loader.Try(everyTrial)
	if after := heldObjects(t); after != before {
		t.Errorf("%d programs, maps and links are held after the trials, %d before", after, before)
	}
}

// TestTryTellsWhatDoesNotCatch: that it attaches is not enough.
func TestTryTellsWhatDoesNotCatch(t *testing.T) {
	blind := &Trial{Engine: "tcx", Port: 9, Counter: "queries_dropped", Attach: everyTrial["dns.drop"].Attach}
	if f := newLoader(t).Try(map[string]*Trial{"blind": blind})["blind"]; f.Err == nil {
		t.Error("what lets a packet pass is said to work")
	}
}

// BenchmarkTry is what every agent's start costs the machine.
func BenchmarkTry(b *testing.B) {
	loader := newLoader(b)
	for b.Loop() {
		for name, f := range loader.Try(everyTrial) {
			if f.Err != nil {
				b.Fatal(name, f.Err)
			}
		}
	}
}
