package state

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

// TestTableIsAMapThatNeverChanges plays random changes on a table and on a map,
// and looks at tables of before again.
func TestTableIsAMapThatNeverChanges(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	var now table[int]
	want := map[string]int{}
	type snap struct {
		t table[int]
		m map[string]int
	}
	var before []snap
	for i := range 20_000 {
		k := fmt.Sprint("key-", r.IntN(3000))
		if r.IntN(3) == 0 {
			now = now.without(k)
			delete(want, k)
		} else {
			now = now.with(k, i)
			want[k] = i
		}
		if i%1000 == 0 {
			before = append(before, snap{now, maps.Clone(want)})
		}
	}
	for i, s := range append(before, snap{now, want}) {
		if got := s.t.asMap(); !maps.Equal(got, s.m) || s.t.size != len(s.m) {
			t.Fatalf("table %d: %d entries, want %d", i, len(got), len(s.m))
		}
		for k, v := range s.m {
			if s.t.get(k) != v {
				t.Fatalf("table %d: %s is %d, want %d", i, k, s.t.get(k), v)
			}
		}
	}
	if now.get("nobody") != 0 || (table[int]{}).get("x") != 0 || (table[int]{}).without("x").size != 0 {
		t.Error("what is not there has a value")
	}
	if got := tableOf(want).asMap(); !maps.Equal(got, want) {
		t.Error("a table of a map is not that map")
	}
}
