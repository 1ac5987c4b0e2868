//go:build ignore

// Boot time as programs see it, whatever time namespace their loader is in.

#include "gate.h"

__u64 boot_now;

SEC("tcx/ingress")
int read_boot(struct __sk_buff *skb)
{
	__u32 zero = 0;

	boot_now = bpf_ktime_get_boot_ns();
	return bpf_map_lookup_elem(&lease, &zero) != 0;
}
