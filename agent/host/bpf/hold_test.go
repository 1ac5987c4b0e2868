package bpf

import (
	"testing"
	"time"
)

// A cgroup that is made anew more often than a hold has places takes one of them.
func TestHoldFollowsACgroupForEver(t *testing.T) {
	loader := newLoader(t)
	const first = 1 << 40 // no cgroup's
	a, err := loader.HoldDown(now(loader, time.Minute), []uint64{first})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	h := a.(*Hold)
	for i := range uint64(2 * maxHeld) {
		if err := h.Follow(first+i, first+i+1); err != nil {
			t.Fatalf("made anew %d times: %v", i+1, err)
		}
	}
}
