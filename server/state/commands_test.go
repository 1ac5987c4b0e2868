package state

import "testing"

// TestEveryCommandIsCarriedOut: none that a proposer may write is unknown here.
func TestEveryCommandIsCarriedOut(t *testing.T) {
	arms := kinds().Fields()
	for i := range arms.Len() {
		if commands()[arms.Get(i).Name()] == nil {
			t.Errorf("nothing carries out %s", arms.Get(i).Name())
		}
	}
	if len(commands()) != arms.Len() {
		t.Errorf("%d commands are carried out, of %d that there are", len(commands()), arms.Len())
	}
}
