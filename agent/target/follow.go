package target

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// followTick is how often cgroups are looked at: so long at most does one that
// was made anew live without the fault, and as long again as the move takes.
const followTick = 20 * time.Millisecond

// Move aims a fault at another cgroup of the same path. Old is 0 where there was
// none before.
type Move func(cgroup string, old, anew uint64) error

// Followed is what became of cgroups that a fault is aimed at.
type Followed struct {
	// Anew counts those that were made anew and followed.
	Anew int
	// Longest is how long one of them may have lived without the fault.
	Longest time.Duration
	// Gone are those that are not there now.
	Gone []string
	// Err is what kept any of them from being followed.
	Err error
}

// Follower keeps a fault aimed at cgroups that are made anew, as by the restart
// of a unit or a container.
type Follower struct {
	system System
	move   Move
	stop   func()
	ended  chan struct{} // closed when it is to end
	done   chan struct{} // closed when it has

	mu sync.Mutex // guards the rest
	// aimed are the kernel's numbers by path; 0 where there was none yet.
	aimed map[string]uint64
	told  Followed
}

// IDs are the kernel's numbers of cgroups by their paths, 0 where there is none.
func IDs(system System, cgroups []string) (map[string]uint64, error) {
	ids := map[string]uint64{}
	for _, cgroup := range cgroups {
		id, _, err := system.Cgroup(cgroup)
		if err != nil {
			return nil, err
		}
		ids[cgroup] = id
	}
	return ids, nil
}

// Follow watches cgroups until Close, from the numbers that the fault is aimed
// at, and calls move for each that is made anew, one at a time. A move that fails
// is tried again.
func Follow(system System, aimed map[string]uint64, move Move) *Follower {
	f := &Follower{
		system: system, move: move, aimed: maps.Clone(aimed),
		ended: make(chan struct{}), done: make(chan struct{}),
	}
	f.stop = sync.OnceFunc(func() { close(f.ended) })
	go f.run()
	return f
}

// Close ends the watch, and returns when it has ended. It may be called again.
func (f *Follower) Close() {
	f.stop()
	<-f.done
}

// Told is what it has seen so far.
func (f *Follower) Told() Followed {
	f.mu.Lock()
	defer f.mu.Unlock()
	told := f.told
	told.Gone = slices.Clone(told.Gone)
	return told
}

func (f *Follower) run() {
	defer close(f.done)
	ticker := time.NewTicker(followTick)
	defer ticker.Stop()
	last := time.Now()
	for {
		began := time.Now()
		f.look(last)
		last = began
		select {
		case <-ticker.C:
		case <-f.ended:
			return
		}
	}
}

// look moves to each cgroup that has come since the last look.
func (f *Follower) look(last time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told.Gone, f.told.Err = nil, nil
	for _, cgroup := range slices.Sorted(maps.Keys(f.aimed)) {
		id, _, err := f.system.Cgroup(cgroup)
		switch {
		case err != nil:
			f.told.Err = errors.Join(f.told.Err, err)
		case id == 0:
			f.told.Gone = append(f.told.Gone, cgroup)
		case id != f.aimed[cgroup]:
			f.follow(cgroup, id, last)
		}
	}
}

// follow moves to one cgroup. The caller holds mu.
func (f *Follower) follow(cgroup string, id uint64, last time.Time) {
	if err := f.move(cgroup, f.aimed[cgroup], id); err != nil {
		f.told.Err = errors.Join(f.told.Err, err)
		return
	}
	f.aimed[cgroup] = id
	f.told.Anew++
	f.told.Longest = max(f.told.Longest, time.Since(last))
}
