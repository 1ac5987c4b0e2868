package target_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"squall/agent/target"
)

// tree is a system of cgroups alone.
type tree struct {
	mu  sync.Mutex
	ids map[string]uint64
}

func (tr *tree) set(cgroup string, id uint64) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.ids[cgroup] = id
}

func (tr *tree) Cgroup(cgroup string) (uint64, bool, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.ids[cgroup], false, nil
}
func (*tree) Unit(context.Context, string) (string, error) { return "", errors.New("no units") }
func (*tree) Processes(string) ([]target.Process, error)   { return nil, nil }
func (*tree) Ports([]int) []uint32                         { return nil }
func (*tree) Own() (net, mount uint64)                     { return 0, 0 }

// TestFollowerFindsWhatIsMadeAnew within its tick, tries again what fails, and
// says what is gone.
func TestFollowerFindsWhatIsMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &tree{ids: map[string]uint64{"a": 1, "b": 2}}
		aimed, err := target.IDs(tr, []string{"a", "b", "c"})
		if err != nil {
			t.Fatal(err)
		}
		var moved []string
		fails := 1
		f := target.Follow(tr, aimed, func(cgroup string, old, anew uint64) error {
			if cgroup == "c" && fails > 0 {
				fails--
				return errors.New("not yet")
			}
			moved = append(moved, fmt.Sprint(cgroup, " ", old, " ", anew))
			return nil
		})
		defer f.Close()
		step := func() { time.Sleep(25 * time.Millisecond); synctest.Wait() }
		step()
		if told := f.Told(); told.Anew != 0 || !slices.Equal(told.Gone, []string{"c"}) {
			t.Errorf("at first: %+v", told)
		}
		tr.set("a", 0)
		step()
		if told := f.Told(); !slices.Equal(told.Gone, []string{"a", "c"}) || len(moved) > 0 {
			t.Errorf("while a is gone: %+v, moved %v", told, moved)
		}
		tr.set("a", 7)
		tr.set("c", 9)
		step()
		if told := f.Told(); told.Err == nil {
			t.Error("a move that failed is not told")
		}
		step()
		told := f.Told()
		if !slices.Equal(moved, []string{"a 1 7", "c 0 9"}) || told.Err != nil || told.Anew != 2 || len(told.Gone) > 0 {
			t.Errorf("moved %v, told %+v", moved, told)
		}
		if told.Longest <= 0 || told.Longest > 60*time.Millisecond {
			t.Errorf("one lived %s without the fault", told.Longest)
		}
	})
}
