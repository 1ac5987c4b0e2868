package host

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// One object heeds its limit, one hangs as in the kernel, one fails: all others
// are done at once, however many, and what was not is named.
func TestEachObjectHasALimitOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begun atomic.Int64
		ever := make(chan struct{})
		defer synctest.Wait()
		defer close(ever)
		objects := make([]int, 4*objectsAtOnce)
		for i := range objects {
			objects[i] = i
		}
		start := time.Now()
		failed := make(chan error)
		go func() {
			failed <- each(t.Context(), objects, func(ctx context.Context, i int) error {
				switch i {
				case 0:
					<-ctx.Done()
					return errors.New("slow")
				case 1:
					<-ever
				case 2:
					return errors.New("broken")
				default:
					begun.Add(1)
				}
				return nil
			})
		}()
		synctest.Wait()
		if n := int(begun.Load()); n != len(objects)-3 {
			t.Errorf("%d of %d were done at once", n, len(objects)-3)
		}
		err := <-failed
		if took := time.Since(start); took != objectLimit+hangLimit {
			t.Errorf("it took %s", took)
		}
		for _, word := range []string{"slow", "hangs", "broken"} {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%q is not in %v", word, err)
			}
		}
	})
}

// TestLookThatHangsDelaysNoOther: all others are looked at, and what it was is said.
func TestLookThatHangsDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ever := make(chan struct{})
		defer synctest.Wait()
		defer close(ever)
		start := time.Now()
		found := gather([]string{"a", "hangs", "b"}, func(what string) []string {
			if what == "hangs" {
				<-ever
			}
			return []string{what}
		}, func(what string) string { return "not known: " + what })
		if got := strings.Join(found, ", "); got != "a, not known: hangs, b" {
			t.Errorf("found %s", got)
		}
		if took := time.Since(start); took != objectLimit+hangLimit {
			t.Errorf("it took %s", took)
		}
	})
}
