//go:build ignore

// Lookups vanish: queries on their way out, answers on their way in.

#include "cgroup.h"
#include "chain.h"
#include "held.h"
#include "packet.h"

enum { QUERIES_DROPPED, QUERIES_PASSED, ANSWERS_DROPPED };

#define WHOLE 1000000

const volatile __u32 share_ppm;
const volatile __u64 seed;

// DNS is UDP and TCP 53, and TCP 853.
static __always_inline int is_dns(const struct packet *p, __be16 port)
{
	if (!p->has_ports)
		return 0;
	if (port == bpf_htons(53))
		return 1;
	return port == bpf_htons(853) && p->proto == IPPROTO_TCP;
}

static __always_inline __u64 mix(__u64 h, __u64 v)
{
	h ^= v;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ULL;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ULL;
	return h ^ (h >> 32);
}

// chosen decides a query's fate by client address, port and id: a retry of the
// same query from the same socket meets the same fate. A stream is one choice.
static __always_inline int chosen(struct __sk_buff *skb, const struct packet *p)
{
	const __u32 *a = p->src.in6_u.u6_addr32;
	__be16 id = 0;
	__u64 h;

	if (share_ppm >= WHOLE)
		return 1;
	if (p->proto == IPPROTO_UDP)
		load(skb, p, p->l4 + sizeof(struct udphdr), &id, sizeof(id));
	h = mix(seed, (__u64)a[0] << 32 | a[1]);
	h = mix(h, (__u64)a[2] << 32 | a[3]);
	h = mix(h, (__u64)p->sport << 16 | id);
	return (__u32)(h % WHOLE) < share_ppm;
}

// Cgroups whose sockets answer lookups on a loopback address.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 64);
	__type(key, __u64);
	__type(value, __u8);
} stubs SEC(".maps");

// The root cgroup is everybody's: who lives there can't be told apart.
#define ROOT_CGROUP 1

static __always_inline void learn_stub(struct __sk_buff *skb)
{
	__u64 own = bpf_skb_cgroup_id(skb);
	__u8 one = 1;

	if (own > ROOT_CGROUP && !bpf_map_lookup_elem(&stubs, &own))
		bpf_map_update_elem(&stubs, &own, &one, BPF_ANY);
}

// forwarded: a stub's own query upstream was decided when it was asked over
// loopback. Without a cgroup of its own, each of its queries is decided again.
static __always_inline int forwarded(struct __sk_buff *skb)
{
	__u64 own = bpf_skb_cgroup_id(skb);

	return own > ROOT_CGROUP && bpf_map_lookup_elem(&stubs, &own);
}

#define SKB_ID(level) bpf_skb_ancestor_cgroup_id(skb, level)

static __always_inline int fails(struct __sk_buff *skb, const struct packet *p)
{
	if (cgroup_scoped && !aimed(SKB_ID))
		return 0;
	if (!chosen(skb, p))
		return 0;
	return share_ppm >= WHOLE || skb->ifindex == LOOPBACK || !forwarded(skb);
}

static __always_inline int query_gone(struct __sk_buff *skb)
{
	struct packet p;

	if (parse(skb, &p))
		return 0;
	if (share_ppm < WHOLE && skb->ifindex == LOOPBACK && is_dns(&p, p.sport))
		learn_stub(skb);
	if (!gate_open() || !is_dns(&p, p.dport))
		return 0;
	if (!fails(skb, &p)) {
		count(QUERIES_PASSED);
		return 0;
	}
	count(QUERIES_DROPPED);
	return 1;
}

// answer_gone only where every query of the host fails: otherwise an answer
// belongs to a query that was let through. What has left over loopback needs
// no second look.
static __always_inline int answer_gone(struct __sk_buff *skb)
{
	struct packet p;

	if (share_ppm < WHOLE || cgroup_scoped || skb->ifindex == LOOPBACK)
		return 0;
	if (!gate_open() || parse(skb, &p) || !is_dns(&p, p.sport))
		return 0;
	count(ANSWERS_DROPPED);
	return 1;
}

SEC("tcx/egress")
int dns_out(struct __sk_buff *skb)
{
	// What a delay line held was decided before, when its socket was known.
	if (!was_held_out(skb) && query_gone(skb))
		return bpf_redirect(SINK, 0);
	hand_on(skb, &chain_out);
	return PASS;
}

SEC("tcx/ingress")
int dns_in(struct __sk_buff *skb)
{
	if (answer_gone(skb))
		return DROP;
	hand_on(skb, &chain_in);
	return PASS;
}
