package host

import (
	"slices"
	"sync"
	"time"
)

// newcomersTick is how often cgroups are looked at for processes that came after
// the freeze.
const newcomersTick = 20 * time.Millisecond

// newcomers freezes who comes into cgroups that are frozen by processes, and not
// as a whole: somebody outside may start them there. Version 2 needs it not.
type newcomers struct {
	freezing *freezing
	// known are the processes of each cgroup when it was last frozen.
	known map[string][]int
	end   func()
	ended chan struct{} // closed when it is to end
	done  chan struct{} // closed when it has
}

// watchNewcomers looks until close.
func watchNewcomers(z *freezing) *newcomers {
	n := &newcomers{freezing: z, known: map[string][]int{}, ended: make(chan struct{}), done: make(chan struct{})}
	n.end = sync.OnceFunc(func() { close(n.ended) })
	go n.run()
	return n
}

func (n *newcomers) run() {
	defer close(n.done)
	ticker := time.NewTicker(newcomersTick)
	defer ticker.Stop()
	for {
		for _, cgroup := range n.freezing.groups {
			n.look(cgroup)
		}
		select {
		case <-ticker.C:
		case <-n.ended:
			return
		}
	}
}

// look freezes a cgroup again when other processes are in it than before. What
// fails is tried again, and shown by its evidence.
func (n *newcomers) look(cgroup string) {
	f, err := n.freezing.held.host.freezerOf(cgroup)
	if _, whole := f.(unifiedFreezer); err != nil || whole {
		return
	}
	pids, err := n.freezing.held.host.workloads.cgroups.pids(cgroup)
	if err != nil || slices.Equal(pids, n.known[cgroup]) {
		return
	}
	if n.freezing.freeze(cgroup) == nil {
		n.known[cgroup] = pids
	}
}

// close ends the looking, and returns when it has ended.
func (n *newcomers) close() {
	n.end()
	<-n.done
}
