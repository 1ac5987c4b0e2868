//go:build ignore

// Silence: a machine without power neither hears nor speaks.

#include "cgroup.h"
#include "chain.h"
#include "exempt.h"

enum { DROPPED_IN, DROPPED_OUT, EXEMPT, NEIGHBOUR, PASSED };

const volatile __u32 link_layer; // ARP and neighbour discovery fall silent too
const volatile __u32 port_scoped;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __be16);
	__type(value, __u8);
} ports SEC(".maps");

struct flow {
	struct in6_addr local, remote;
	__be16 lport, rport;
	__u32 proto;
};

// Flows of the cgroups aimed at, as seen. They stay silent when their sockets
// are gone and the kernel would answer for them.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct flow);
	__type(value, __u8);
} flows SEC(".maps");

static __always_inline int remembered(const struct flow *f)
{
	return bpf_map_lookup_elem(&flows, f) != 0;
}

static __always_inline void remember(const struct flow *f)
{
	__u8 one = 1;

	if (!remembered(f))
		bpf_map_update_elem(&flows, f, &one, BPF_ANY);
}

#define SKB_ID(level) bpf_skb_ancestor_cgroup_id(skb, level)

// workload_out also runs before the gate opens, to learn flows. A flow that has
// been idle since then is learned from the first packet that answers for it,
// its end included, and that packet stays here.
static __always_inline int workload_out(struct __sk_buff *skb, const struct packet *p)
{
	struct flow f = { .local = p->src, .remote = p->dst, .lport = p->sport,
			  .rport = p->dport, .proto = p->proto };

	if (!p->has_ports)
		return 0;
	if (bpf_map_lookup_elem(&ports, &p->sport))
		return 1;
	if (!cgroup_scoped)
		return 0;
	if (aimed(SKB_ID)) {
		remember(&f);
		return 1;
	}
	return remembered(&f);
}

static __always_inline int workload_in(const struct packet *p)
{
	struct flow f = { .local = p->dst, .remote = p->src, .lport = p->dport,
			  .rport = p->sport, .proto = p->proto };

	if (!p->has_ports)
		return 0;
	if (bpf_map_lookup_elem(&ports, &p->dport))
		return 1;
	return cgroup_scoped && remembered(&f);
}

// What becomes of a packet.
enum verdict { ON, GONE };

// judge counts, once it is known whether a packet is of this fault, IP, a
// neighbour's, or exempt.
static __always_inline enum verdict judge(int mine, int ip, const struct packet *p, int exempt,
					  __u32 dropped)
{
	if (!mine) {
		count(PASSED);
		return ON;
	}
	if ((!ip || is_neighbour(p)) && !link_layer) {
		count(NEIGHBOUR);
		return ON;
	}
	if (exempt) {
		count(EXEMPT);
		return ON;
	}
	count(dropped);
	return GONE;
}

static __always_inline enum verdict hear(struct __sk_buff *skb)
{
	struct packet p;
	int ip = parse(skb, &p) == 0;
	int mine = !port_scoped || (ip && workload_in(&p));

	if (!gate_open())
		return ON;
	return judge(mine, ip, &p, ip && mine && exempt_in(skb, &p), DROPPED_IN);
}

static __always_inline enum verdict speak(struct __sk_buff *skb)
{
	struct packet p;
	int ip = parse(skb, &p) == 0;
	int mine = !port_scoped || (ip && workload_out(skb, &p));

	if (!gate_open())
		return ON;
	return judge(mine, ip, &p, ip && mine && exempt_out(skb, &p), DROPPED_OUT);
}

SEC("tcx/ingress")
int silence_in(struct __sk_buff *skb)
{
	if (skb->ifindex != LOOPBACK && hear(skb) == GONE)
		return DROP;
	hand_on(skb, &chain_in);
	return PASS;
}

SEC("tcx/egress")
int silence_out(struct __sk_buff *skb)
{
	if (skb->ifindex != LOOPBACK && speak(skb) == GONE)
		return bpf_redirect(SINK, 0);
	hand_on(skb, &chain_out);
	return PASS;
}
