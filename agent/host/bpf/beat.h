// Whether the process that holds a delay line's packets lives.
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct heartbeat {
	__u64 until; // boot time; written by the loop: were it to hang, packets pass
	__u64 killed; // written by kill.bpf.c
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct heartbeat);
} beat SEC(".maps");
