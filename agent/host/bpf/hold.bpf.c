//go:build ignore

// Whatever a dark workload's cgroup executes dies before its first instruction.

#include "cgroup.h"

enum { RESPAWNS_CAUGHT };

#define SIGKILL 9

// Processes caught, by id, with when: to tell how long any of them lived.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u64);
} caught SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} longest SEC(".maps");

#define CURRENT_ID(level) bpf_get_current_ancestor_cgroup_id(level)

SEC("raw_tp/sched_process_exec")
int hold_exec(void *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	__u64 now = bpf_ktime_get_boot_ns();

	if (!gate_open() || !aimed(CURRENT_ID))
		return 0;
	bpf_send_signal(SIGKILL);
	bpf_map_update_elem(&caught, &pid, &now, BPF_ANY);
	count(RESPAWNS_CAUGHT);
	return 0;
}

SEC("raw_tp/sched_process_exit")
int hold_exit(void *ctx)
{
	__u64 both = bpf_get_current_pid_tgid(), *since, *most, life;
	__u32 pid = both >> 32, zero = 0;

	if (pid != (__u32)both)
		return 0;
	since = bpf_map_lookup_elem(&caught, &pid);
	if (!since)
		return 0;
	life = bpf_ktime_get_boot_ns() - *since;
	most = bpf_map_lookup_elem(&longest, &zero);
	if (most && life > *most)
		*most = life;
	bpf_map_delete_elem(&caught, &pid);
	return 0;
}
