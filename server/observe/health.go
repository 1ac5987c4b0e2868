package observe

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"
)

// answerTime is how long a question about health waits for the server's own word.
const answerTime = 800 * time.Millisecond

// Loop is one of the loops that a server lives by.
type Loop string

// The loops, in the words of the answers.
const (
	// Confirming asks the leader for its word, again and again.
	Confirming Loop = "the loop that asks the leader for its word"
	// Sweeping compares agents' streams with the registry.
	Sweeping Loop = "the loop that looks after agents' streams"
	// Saving saves cluster time on disk.
	Saving Loop = "the loop that saves cluster time on disk"
)

// mostIdle is how long a loop may take to turn, each several times as long as it
// ever should.
var mostIdle = map[Loop]time.Duration{Confirming: 10 * time.Second, Sweeping: 10 * time.Second, Saving: 40 * time.Second}

// Alive tells whether the process lives and its loops turn, and why not. A server
// for which it does not hold wants to be started again.
func Alive(s Sight) (ok bool, why string) {
	for _, l := range slices.Sorted(maps.Keys(s.Idle)) {
		if idle := s.Idle[l]; idle > mostIdle[l] {
			return false, fmt.Sprintf("%s has not turned for %s", l, seconds(idle))
		}
	}
	return true, fmt.Sprintf("server %s lives, and its loops turn", s.Server)
}

// Ready tells whether the server knows a leader, and has applied what that had
// committed, within the lease, and why not. One for which it does not hold renews no leases, and
// what it is asked waits for a leader.
func Ready(s Sight) (ok bool, why string) {
	leader := s.Consensus.Leader
	switch {
	case s.Stopping:
		return false, "the server is stopping"
	case leader == "":
		return false, "the server knows of no leader; without a majority of the servers there is none"
	case !s.Ever:
		return false, fmt.Sprintf("leader %s has not confirmed this server yet, or what it has committed is not applied here yet", leader)
	case s.Confirmed >= s.Lease:
		return false, fmt.Sprintf("leader %s last confirmed this server %s ago, and its lease is %s: it does not answer, or has no majority behind it, or this server lags",
			leader, seconds(s.Confirmed), s.Lease)
	case leader == s.Server:
		return true, fmt.Sprintf("server %s leads with a majority behind it; confirmed %s ago at log index %d%s", s.Server, seconds(s.Confirmed), s.View.Index(), butSinks(s))
	}
	return true, fmt.Sprintf("server %s follows %s; confirmed %s ago at log index %d%s", s.Server, leader, seconds(s.Confirmed), s.View.Index(), butSinks(s))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }

// verdict is one answer.
type verdict struct {
	ok  bool
	why string
}

// answer asks the server, and answers by itself where it gets no word in time.
// However many ask while a look hangs, there is one.
func (o *Observer) answer(judge func(Sight) (bool, string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		v := verdict{why: fmt.Sprintf("the server did not tell how it stands within %s", answerTime)}
		timer := time.NewTimer(answerTime)
		defer timer.Stop()
		select {
		case seen := <-o.looks.DoChan("", func() (any, error) { return o.look(), nil }):
			v.ok, v.why = judge(seen.Val.(Sight))
		case <-timer.C:
		}
		tell(w, v)
	})
}

// tell writes an answer, with 503 where it is no.
func tell(w http.ResponseWriter, v verdict) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	word := "ok: "
	if !v.ok {
		w.WriteHeader(http.StatusServiceUnavailable)
		word = "no: "
	}
	_, _ = io.WriteString(w, word+v.why+"\n") // whoever asked is gone
}
