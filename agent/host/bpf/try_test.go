package bpf

import (
	"testing"

	pb "squall/proto/squall/v1"
)

// TestTryTellsWhatDoesNotCatch: that it attaches is not enough.
func TestTryTellsWhatDoesNotCatch(t *testing.T) {
	blind := &Trial{Engine: "tcx", Port: 9, Counter: "queries_dropped", Attach: func(loader *Loader, g *pb.Gate) (Attachment, error) {
		return loader.DropDNS(g, &pb.DropDNS{SharePpm: wholePPM})
	}}
	if f := newLoader(t).Try(map[string]*Trial{"blind": blind})["blind"]; f.Err == nil {
		t.Error("what lets a packet pass is said to work")
	}
}
