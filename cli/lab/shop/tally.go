package shop

import (
	"net/http"
	"sync"
	"time"
)

// tally counts attempts: in all, and over the last few seconds.
type tally struct {
	mu sync.Mutex
	// recent holds a count for each second, by its number modulo its length.
	recent [recentSeconds]second // guarded by mu
	all    second                // guarded by mu
	// lastGood and longestGap are between acknowledgements.
	lastGood   time.Time     // guarded by mu
	longestGap time.Duration // guarded by mu
	longest    time.Duration // guarded by mu
}

const (
	recentSeconds = 5
	healthyShare  = 0.99
)

// second is what happened in one second.
type second struct {
	number         int64
	good, attempts uint64
}

// add counts one attempt that ended at now and took that long.
func (t *tally) add(now time.Time, took time.Duration, good bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &t.recent[now.Unix()%recentSeconds]
	if s.number != now.Unix() {
		*s = second{number: now.Unix()}
	}
	s.attempts++
	t.all.attempts++
	t.longest = max(t.longest, took)
	if !good {
		return
	}
	s.good++
	t.all.good++
	if !t.lastGood.IsZero() {
		t.longestGap = max(t.longestGap, now.Sub(t.lastGood))
	}
	t.lastGood = now
}

// healthy reports whether nearly all of the latest attempts were good. No
// attempt at all is not healthy.
func (t *tally) healthy(now time.Time) bool {
	good, attempts := t.latest(now)
	return attempts > 0 && float64(good) >= healthyShare*float64(attempts)
}

func (t *tally) latest(now time.Time) (good, attempts uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.recent {
		if now.Unix()-s.number < recentSeconds {
			good += s.good
			attempts += s.attempts
		}
	}
	return good, attempts
}

// numbers is a tally as others read it.
type numbers struct {
	Acknowledged     uint64 `json:"acknowledged"`
	Errors           uint64 `json:"errors"`
	LongestGapMillis int64  `json:"longest_gap_ms"`
	SlowestMillis    int64  `json:"slowest_ms"`
	RecentGood       uint64 `json:"recent_good"`
	RecentAttempts   uint64 `json:"recent_attempts"`
	// Revision and Books are the writer's.
	Revision int64           `json:"revision,omitempty"`
	Books    map[string]book `json:"books,omitempty"`
}

func (t *tally) numbers(now time.Time) numbers {
	good, attempts := t.latest(now)
	t.mu.Lock()
	defer t.mu.Unlock()
	return numbers{
		Acknowledged: t.all.good, Errors: t.all.attempts - t.all.good,
		LongestGapMillis: t.longestGap.Milliseconds(), SlowestMillis: t.longest.Milliseconds(),
		RecentGood: good, RecentAttempts: attempts,
	}
}

// health is the handler behind /health.
func (t *tally) health(w http.ResponseWriter, _ *http.Request) {
	if !t.healthy(time.Now()) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}
