//go:build ignore

// Silence: a machine without power neither hears nor speaks.

#include "cgroup.h"
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
#define SK_ID(level) bpf_sk_ancestor_cgroup_id(sk, level)

static __always_inline int aimed_socket(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_sock *sk;
	int yes;

	sk = p->proto == IPPROTO_TCP ? find_tcp(skb, p) : find_udp(skb, p);
	if (!sk)
		return 0;
	yes = aimed(SK_ID);
	bpf_sk_release(sk);
	return yes;
}

// workload_out and workload_in also run before the gate opens, to learn flows.
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

static __always_inline int workload_in(struct __sk_buff *skb, const struct packet *p)
{
	struct flow f = { .local = p->dst, .remote = p->src, .lport = p->dport,
			  .rport = p->sport, .proto = p->proto };

	if (!p->has_ports)
		return 0;
	if (bpf_map_lookup_elem(&ports, &p->dport))
		return 1;
	if (!cgroup_scoped)
		return 0;
	if (remembered(&f))
		return 1;
	if (!aimed_socket(skb, p))
		return 0;
	remember(&f);
	return 1;
}

// not_ip: what is not IP stays as it is, unless the link layer is dark too.
static __always_inline int neighbours(int dropped, int verdict)
{
	if (link_layer) {
		count(dropped);
		return verdict;
	}
	count(NEIGHBOUR);
	return PASS;
}

SEC("tcx/ingress")
int silence_in(struct __sk_buff *skb)
{
	struct packet p;
	int ip = parse(skb, &p) == 0;
	int mine = !port_scoped || (ip && workload_in(skb, &p));

	if (!gate_open())
		return PASS;
	if (!mine) {
		count(PASSED);
		return PASS;
	}
	if (!ip || is_neighbour(&p))
		return neighbours(DROPPED_IN, DROP);
	if (exempt_in(skb, &p)) {
		count(EXEMPT);
		return PASS;
	}
	count(DROPPED_IN);
	return DROP;
}

SEC("tcx/egress")
int silence_out(struct __sk_buff *skb)
{
	struct packet p;
	int ip = parse(skb, &p) == 0;
	int mine = !port_scoped || (ip && workload_out(skb, &p));

	if (!gate_open())
		return PASS;
	if (!mine) {
		count(PASSED);
		return PASS;
	}
	if (!ip || is_neighbour(&p)) {
		int verdict = neighbours(DROPPED_OUT, 0);

		return verdict == PASS ? PASS : bpf_redirect(SINK, 0);
	}
	if (exempt_out(skb, &p)) {
		count(EXEMPT);
		return PASS;
	}
	count(DROPPED_OUT);
	return bpf_redirect(SINK, 0);
}
