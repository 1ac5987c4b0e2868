// Which cgroups a fault is aimed at, by id; their descendants count too.
#pragma once

#include "gate.h"

const volatile __u32 cgroup_scoped;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u8);
} cgroups SEC(".maps");

// aimed walks the ancestors of a cgroup from the root, with ID(level) giving
// the id at a level, and 0 past the last.
#define aimed(ID)                                                  \
	({                                                         \
		int found_ = 0;                                    \
		for (int level_ = 0; level_ < CGROUP_DEPTH; level_++) { \
			__u64 id_ = ID(level_);                    \
			if (!id_)                                  \
				break;                             \
			if (bpf_map_lookup_elem(&cgroups, &id_)) { \
				found_ = 1;                        \
				break;                             \
			}                                          \
		}                                                  \
		found_;                                            \
	})
