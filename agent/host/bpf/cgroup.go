package bpf

import (
	"errors"
	"fmt"
	"math"

	"github.com/cilium/ebpf"
)

// known refuses a scope of which not every cgroup was found: with too few, a
// fault would be aimed at others, and with none at the whole host.
func known(cgroups []string, ids []uint64) error {
	if len(ids) != len(cgroups) {
		return fmt.Errorf("aim at cgroups: %d ids for %v", len(ids), cgroups)
	}
	return nil
}

// Nobody is no cgroup's id: aimed at it, a fault waits for the cgroups that are
// added.
const Nobody = math.MaxUint64

// spareCgroups is the room for cgroups that are added to a fault.
const spareCgroups = 64

// Add aims at more cgroups: there is room for 64 more than at first, and for 256
// in all where they are held down.
func (h *attached) Add(ids ...uint64) error {
	return h.withCgroups(func(m *ebpf.Map) error { return fill(m, ids) })
}

// Follow aims at a cgroup in place of one that is no more; old may be 0. However
// often it is made anew, it takes one place.
func (h *attached) Follow(old, id uint64) error {
	return h.withCgroups(func(m *ebpf.Map) error {
		if old != id {
			if err := m.Delete(old); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
				return fmt.Errorf("let go of cgroup %d: %w", old, err)
			}
		}
		return fill(m, []uint64{id})
	})
}

// withCgroups changes the set of cgroups, unless the fault has ended.
func (h *attached) withCgroups(change func(*ebpf.Map) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.coll.Maps[holdMapCgroups]
	if m == nil {
		return errors.New("aim at cgroups: the fault has none")
	}
	if h.closed {
		return nil
	}
	return change(m)
}

// aim scopes programs to cgroups and their descendants.
func aim(spec *ebpf.CollectionSpec, ids []uint64) error {
	sized(spec, holdMapCgroups, len(ids)+spareCgroups)
	if v, ok := spec.Variables[silenceVarCgroupScoped]; ok {
		return v.Set(flag(len(ids) > 0))
	}
	return nil
}

// errNoCgroup: a hold without cgroups would hold nothing.
var errNoCgroup = errors.New("hold down: no cgroup given")
