package clock

import (
	"testing"
	"time"
)

func TestSavedTimeGoesOnInItsBootAlone(t *testing.T) {
	s := Saved{BootID: "b", Boot: time.Hour, Unix: int64(9 * time.Hour), Doubt: time.Millisecond}
	r, ok := s.At("b", time.Hour+10*time.Second)
	if !ok || r.Unix != int64(9*time.Hour+10*time.Second) || r.Doubt != time.Millisecond+6*time.Millisecond || r.Term != 0 {
		t.Errorf("ten seconds later it is %+v, %t", r, ok)
	}
	for name, got := range map[string]func() (Reading, bool){
		"in another boot": func() (Reading, bool) { return s.At("c", 2*time.Hour) },
		"earlier":         func() (Reading, bool) { return s.At("b", time.Minute) },
	} {
		if r, ok := got(); ok {
			t.Errorf("%s it is %+v", name, r)
		}
	}
}

func TestTimeThatNobodyKnowsBeginsWithinBounds(t *testing.T) {
	last := time.Unix(1e9, 0)
	for name, c := range map[string]struct {
		ahead, most, want time.Duration
		capped            bool
	}{
		"a wall clock set back":           {-time.Hour, time.Minute, 0, false},
		"one that went on":                {30 * time.Second, time.Minute, 30 * time.Second, false},
		"one that is far ahead":           {time.Hour, time.Minute, time.Minute, true},
		"one far ahead, with no bound":    {time.Hour, 0, time.Hour, false},
		"one set back, and with no bound": {-time.Hour, 0, 0, false},
	} {
		begin, capped := Begin(last.Add(c.ahead), last, c.most)
		if got := begin.Sub(last); got != c.want || capped != c.capped {
			t.Errorf("%s: %s after the last instant, capped %t", name, got, capped)
		}
	}
}

// A time that was restored is held for no leader's word, and gives way to one.
func TestRestoredTimeGivesWayToALeaders(t *testing.T) {
	var c Cluster
	c.Observe(0, Reading{Unix: int64(time.Hour), Doubt: ms}, 0)
	if now, ok := c.Now(time.Second); !ok || now.Unix != int64(time.Hour+time.Second) || c.Known() {
		t.Errorf("restored to %+v, %t; known %t", now, ok, c.Known())
	}
	c.Observe(time.Second, Reading{Unix: int64(3 * time.Hour), Term: 2}, time.Second)
	if now, _ := c.Now(time.Second); now.Unix != int64(3*time.Hour) || !c.Known() {
		t.Errorf("a leader said three hours, and it is %+v", now)
	}
}

func FuzzDecodeSaved(f *testing.F) {
	f.Add(Saved{BootID: "b", Boot: 1, Unix: 2, Doubt: 3}.Encode())
	f.Add([]byte(`{"boot_id":"b","boot_nanos":-1}`))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := DecodeSaved(data)
		if err != nil {
			return
		}
		if again, err := DecodeSaved(s.Encode()); err != nil || again != s {
			t.Errorf("%+v became %+v, %v", s, again, err)
		}
		if r, ok := s.At(s.BootID, s.Boot); !ok || r.Unix != s.Unix || r.Doubt != s.Doubt {
			t.Errorf("%+v is %+v at its own moment", s, r)
		}
	})
}
