// When programs act, what they count, and which cgroups they ask for.
#pragma once

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// Return values of tcx; <linux/bpf.h> has them from 6.6 on only.
#define PASS (-1) // TCX_NEXT: other programs on the interface have their say
#define DROP 2

// An interface index that does not exist. A packet redirected there is gone,
// and its sender believes that it was sent; a drop would tell it (ENOBUFS, and
// a TCP sender would take it for congestion of its own device).
#define SINK 0x7fffffff

// Cgroups nested deeper than this are not found.
#define CGROUP_DEPTH 24

#define COUNTERS 8

// A map and no constants: programs are loaded before it is known when they act.
struct gate {
	__u64 start, end;
	__u32 ignore_lease;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gate);
} gate SEC(".maps");

// One for all programs of a fault, mapped into their holder: renewing is a store.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lease SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline int gate_open(void)
{
	__u64 now = bpf_ktime_get_boot_ns();
	__u32 zero = 0;
	struct gate *g = bpf_map_lookup_elem(&gate, &zero);
	__u64 *until;

	if (!g || now < g->start || now >= g->end)
		return 0;
	if (g->ignore_lease)
		return 1;
	until = bpf_map_lookup_elem(&lease, &zero);
	return until && now < *(volatile __u64 *)until;
}

static __always_inline void count(__u32 what)
{
	__u64 *n = bpf_map_lookup_elem(&counters, &what);

	if (n)
		(*n)++;
}

char gpl[] SEC("license") = "GPL";
