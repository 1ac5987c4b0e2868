package helper

import (
	"testing"
	"time"
)

// wake plays a loop that waits for an instant, with sleeps that end late, and
// returns when it noticed and how much of that it was awake.
func (a *alarm) wake(now, due, late, turn time.Duration) (at, awake time.Duration) {
	for now < due {
		if pause := a.pause(now, due); pause > 0 {
			now += pause + late
			continue
		}
		now += turn
		awake += turn
	}
	a.pause(now, due)
	return now, awake
}

// TestFrameIsNoticedInTime: though every sleep ends late.
func TestFrameIsNoticedInTime(t *testing.T) {
	var a alarm
	a.wind()
	const due, turn = 40 * time.Millisecond, 2 * time.Microsecond
	if at, _ := a.wake(0, due, wakeEarly/2, turn); at < due || at > due+turn {
		t.Errorf("noticed at %v, due at %v", at, due)
	}
}

// TestWaitingAwakeIsRare: however many frames are due, it is a tenth of a processor.
func TestWaitingAwakeIsRare(t *testing.T) {
	for _, every := range []time.Duration{20 * time.Microsecond, 150 * time.Microsecond, time.Millisecond} {
		var a alarm
		var now, beat, awake, spent time.Duration
		for now < time.Second {
			if now >= beat {
				a.wind()
				beat = now + beatEvery
			}
			now, spent = a.wake(now, now+every, 10*time.Microsecond, 2*time.Microsecond)
			awake += spent
		}
		if awake > now/9 {
			t.Errorf("a frame each %v: awake for %v of %v", every, awake, now)
		}
	}
}
