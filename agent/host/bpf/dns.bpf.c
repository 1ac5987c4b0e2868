//go:build ignore

// Lookups vanish: queries on their way out, answers on their way in.

#include "cgroup.h"
#include "exempt.h"

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
		load(skb, p->l4 + sizeof(struct udphdr), &id, sizeof(id));
	h = mix(seed, (__u64)a[0] << 32 | a[1]);
	h = mix(h, (__u64)a[2] << 32 | a[3]);
	h = mix(h, (__u64)p->sport << 16 | id);
	return (__u32)(h % WHOLE) < share_ppm;
}

// stub_cgroup is the cgroup of the socket that answers on a loopback address.
static __always_inline __u64 stub_cgroup(struct __sk_buff *skb, __be32 addr)
{
	struct bpf_sock_tuple t = {};
	struct bpf_sock *sk;
	__u64 id;

	t.ipv4.saddr = bpf_htonl(0x7f000001);
	t.ipv4.daddr = addr;
	t.ipv4.sport = bpf_htons(1);
	t.ipv4.dport = bpf_htons(53);
	sk = bpf_sk_lookup_udp(skb, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	id = bpf_sk_cgroup_id(sk);
	bpf_sk_release(sk);
	return id;
}

// forwarded: a stub's own query upstream was decided when it was asked over
// loopback. Who shares the stub's cgroup can't be told from it; the root
// cgroup is everybody's, so there every query is decided where it is seen.
static __always_inline int forwarded(struct __sk_buff *skb)
{
	__u64 own = bpf_skb_cgroup_id(skb);

	if (own <= 1)
		return 0;
	return own == stub_cgroup(skb, bpf_htonl(0x7f000035)) ||
	       own == stub_cgroup(skb, bpf_htonl(0x7f000001));
}

static __always_inline int to_loopback(const struct packet *p)
{
	const __u32 *a = p->dst.in6_u.u6_addr32;

	if (p->v6)
		return !a[0] && !a[1] && !a[2] && a[3] == bpf_htonl(1);
	return (a[3] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

#define SKB_ID(level) bpf_skb_ancestor_cgroup_id(skb, level)

static __always_inline int fails(struct __sk_buff *skb, const struct packet *p)
{
	if (cgroup_scoped && !aimed(SKB_ID))
		return 0;
	if (!chosen(skb, p))
		return 0;
	return share_ppm >= WHOLE || to_loopback(p) || !forwarded(skb);
}

SEC("tcx/egress")
int dns_out(struct __sk_buff *skb)
{
	struct packet p;

	if (!gate_open() || parse(skb, &p) || !is_dns(&p, p.dport))
		return PASS;
	if (!fails(skb, &p)) {
		count(QUERIES_PASSED);
		return PASS;
	}
	count(QUERIES_DROPPED);
	return bpf_redirect(SINK, 0);
}

// dns_in is attached only when every query of the host fails: otherwise an
// answer belongs to a query that was let through.
SEC("tcx/ingress")
int dns_in(struct __sk_buff *skb)
{
	struct packet p;

	if (!gate_open() || parse(skb, &p) || !is_dns(&p, p.sport))
		return PASS;
	count(ANSWERS_DROPPED);
	return DROP;
}
