package undo

import (
	"fmt"
	"testing"

	pb "squall/proto/squall/v1"
)

// What serialises a step goes with its last user.
func TestStepsThatAreOverCostNoLock(t *testing.T) {
	r := &Runner{journal: openJournal(t, t.TempDir(), Options{}), busy: map[key]*hold{}}
	for i := range 1000 {
		if _, _, err := r.Revert(t.Context(), "r", fmt.Sprint(i), pb.RevertCause_REVERT_CAUSE_END); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.busy); n > 0 {
		t.Errorf("%d steps are held by nobody", n)
	}
}
