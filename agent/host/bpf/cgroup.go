package bpf

import (
	"errors"
	"fmt"

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

// aim scopes programs to cgroups and their descendants.
func aim(spec *ebpf.CollectionSpec, ids []uint64) error {
	sized(spec, holdMapCgroups, len(ids))
	if v, ok := spec.Variables[silenceVarCgroupScoped]; ok {
		return v.Set(flag(len(ids) > 0))
	}
	return nil
}

// errNoCgroup: a hold without cgroups would hold nothing.
var errNoCgroup = errors.New("hold down: no cgroup given")
