package e2e

import (
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// TestHostsAreFreeAsSoonAsTheyHaveReverted: whatever ended a fault, the next
// one on the same hosts is admitted at once. A claim that were still held would
// end inject with code 4.
func TestHostsAreFreeAsSoonAsTheyHaveReverted(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	dark := []string{"dns.fail", "--zone", "zone-b", "--for"}
	t.Run("undone", func(t *testing.T) {
		for range 5 {
			run := r.inject(t, append(dark, "20s")...)
			r.must(t, 0, []string{"ended " + run}, "undo", run)
		}
	})
	t.Run("halted", func(t *testing.T) {
		r.inject(t, append(dark, "20s")...)
		r.must(t, 0, []string{"halted"}, "halt", "--reason", "drill")
		r.must(t, 0, []string{"resumed"}, "resume")
	})
	t.Run("at its end, before the verdict", func(t *testing.T) {
		run := r.inject(t, append(dark, "2s")...)
		within(t, time.Minute, "the hosts have reverted", func() bool { return reverted(r.status(t), run) })
	})
	r.must(t, 0, nil, "undo", r.inject(t, append(dark, "20s")...))
}

// reverted reports whether no host holds a step of the run.
func reverted(st *pb.Status, run string) bool {
	for _, s := range st.GetActive() {
		if s.GetRun() == run {
			return false
		}
	}
	return st != nil
}
