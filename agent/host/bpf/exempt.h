// What no fault may touch: the agent's own stream, and management peers.
#pragma once

#include "packet.h"

const volatile __u32 exempt_mark;

struct endpoint {
	struct in6_addr addr;
	__be16 port;
	__u16 pad;
};

#define SERVERS 256

// One for all programs of a worker: who is learned of while a fault holds is
// exempt from it at once.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SERVERS);
	__type(key, struct endpoint);
	__type(value, __u8);
} servers SEC(".maps");

// The port comes first, so that one trie holds all ports: a key's prefix
// length is 16 bits more than the address's.
struct peer {
	__u32 prefixlen;
	__be16 port;
	struct in6_addr addr;
} __attribute__((packed));

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct peer);
	__type(value, __u8);
} management SEC(".maps");

static __always_inline int is_management(const struct packet *p, const struct in6_addr *peer,
					 __be16 local)
{
	struct peer key = { .prefixlen = 16 + 128, .port = local, .addr = *peer };

	return p->proto == IPPROTO_TCP && p->has_ports && bpf_map_lookup_elem(&management, &key);
}

static __always_inline struct bpf_sock *find_tcp(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_sock_tuple t = {};

	if (p->v6) {
		__builtin_memcpy(t.ipv6.saddr, &p->src, 16);
		__builtin_memcpy(t.ipv6.daddr, &p->dst, 16);
		t.ipv6.sport = p->sport;
		t.ipv6.dport = p->dport;
		return bpf_sk_lookup_tcp(skb, &t, sizeof(t.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	t.ipv4.saddr = p->src.in6_u.u6_addr32[3];
	t.ipv4.daddr = p->dst.in6_u.u6_addr32[3];
	t.ipv4.sport = p->sport;
	t.ipv4.dport = p->dport;
	return bpf_sk_lookup_tcp(skb, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
}

// from_server: the address alone proves nothing, so the packet must also reach
// a socket of the agent.
static __always_inline int from_server(struct __sk_buff *skb, const struct packet *p)
{
	struct endpoint key = { .addr = p->src, .port = p->sport };
	struct bpf_sock *sk;
	int marked;

	if (!exempt_mark || p->proto != IPPROTO_TCP || !p->has_ports)
		return 0;
	if (!bpf_map_lookup_elem(&servers, &key))
		return 0;
	sk = find_tcp(skb, p);
	if (!sk)
		return 0;
	marked = sk->mark == exempt_mark;
	bpf_sk_release(sk);
	return marked;
}

static __always_inline int exempt_in(struct __sk_buff *skb, const struct packet *p)
{
	return from_server(skb, p) || is_management(p, &p->src, p->dport);
}

static __always_inline int exempt_out(struct __sk_buff *skb, const struct packet *p)
{
	if (exempt_mark && skb->mark == exempt_mark)
		return 1;
	return is_management(p, &p->dst, p->sport);
}
