package process

import (
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// Whoever was asleep itself does not take the other side for dead.
func TestOwnSleepIsNotTheOthersSilence(t *testing.T) {
	for _, c := range []struct {
		what   string
		looks  []int
		silent bool
	}{
		{"a silent other is noticed", []int{375, 750, 1125}, true},
		{"a little late is no sleep", []int{400, 800, 1200}, true},
		{"one long sleep is forgiven", []int{250, 5000}, false},
		{"and then the other has a second", []int{250, 5000, 5375}, false},
		{"but no more", []int{250, 5000, 5375, 5750}, true},
	} {
		a, silent := listening(0, busyPace), time.Duration(0)
		for _, at := range c.looks {
			silent = a.silent(time.Duration(at) * time.Millisecond)
		}
		if (silent > a.limit()) != c.silent {
			t.Errorf("%s: silent for %s", c.what, silent)
		}
	}
}

// A pace that rises gives the other side the whole of its new time.
func TestNewPaceIsListenedToAnew(t *testing.T) {
	a := listening(0, idlePace)
	if silent := a.silent(1400 * time.Millisecond); silent > a.limit() {
		t.Errorf("a idlePace other is dead after %s", silent)
	}
	a.follow(1500*time.Millisecond, busyPace)
	if silent := a.silent(1600 * time.Millisecond); silent > a.limit() {
		t.Errorf("dead %s after it was heard at another pace", silent)
	}
	silent := time.Duration(0)
	for _, at := range []int{1975, 2350, 2725} {
		silent = a.silent(time.Duration(at) * time.Millisecond)
	}
	if silent <= a.limit() {
		t.Errorf("not dead after %s at a busyPace pace", silent)
	}
}

func TestPaceKeepsWithinBounds(t *testing.T) {
	for said, want := range map[time.Duration]time.Duration{
		0: busyPace, time.Nanosecond: busyPace, busyPace: busyPace, idlePace: idlePace, time.Hour: idlePace, -time.Hour: busyPace,
	} {
		if got := paceOf(&pb.Beat{PaceNanos: int64(said)}); got != want {
			t.Errorf("paceOf(%s) = %s, want %s", said, got, want)
		}
	}
}

// fed is somebody who wants a processor or not, and had one for so long.
type fed struct {
	wants bool
	had   time.Duration
}

func (f fed) Processor() (wants bool, had time.Duration) { return f.wants, f.had }

// A worker that gets no processor is waited for, one that hangs is not.
func TestHungerIsNoHang(t *testing.T) {
	const usual = missed * busyPace
	at := func(looks ...fed) time.Duration {
		var h starvation
		for i, f := range looks {
			h.look(time.Duration(i+1)*busyPace, f)
		}
		return h.limit(usual)
	}
	for _, c := range []struct {
		what  string
		looks []fed
		want  time.Duration
	}{
		{"it sleeps", []fed{{}, {}, {}}, usual},
		{"it was stopped at work", []fed{{wants: true}, {wants: false}}, usual},
		{"it waits for its turn", []fed{{wants: true}, {wants: true}}, maxStarved},
		{"it gets a little now and then", []fed{{wants: true}, {wants: true, had: busyPace / 4}}, maxStarved},
		{"it turns in circles", []fed{{wants: true}, {wants: true, had: busyPace}}, usual},
		{"two of its threads do", []fed{{wants: true}, {wants: true, had: 2 * busyPace}}, usual},
	} {
		if got := at(c.looks...); got != c.want {
			t.Errorf("%s: limit %s, want %s", c.what, got, c.want)
		}
	}
	var h starvation
	h.look(busyPace, fed{wants: true})
	h.end()
	if got := h.limit(usual); got != usual {
		t.Errorf("after a beat: limit %s, want %s", got, usual)
	}
}
