// Where a packet comes from and goes to, for IPv4 and IPv6 alike: an IPv4
// address is ::ffff:a.b.c.d.
#pragma once

#include <stddef.h>

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "gate.h"

struct packet {
	struct in6_addr src, dst;
	__be16 sport, dport; // of TCP and UDP, in network order
	__u8 proto;
	__u8 has_ports;
	__u8 v6;
	__u8 icmp_type;
	__u32 from; // the header from which offsets count: BPF_HDR_START_NET or _MAC
	__u32 l3; // offset of the network header
	__u32 l4; // of the transport header, from the network header
};

// Extension headers that are skipped before a transport header.
#define EXTENSIONS 6

#define FRAGMENT_OFFSET 0x1fff

// VLAN tags in a frame that are skipped, besides the one that the kernel keeps
// beside it.
#define TAGS 3

// load reads at an offset from the network header.
static __always_inline int load(struct __sk_buff *skb, const struct packet *p, __u32 off, void *to,
				__u32 len)
{
	return bpf_skb_load_bytes_relative(skb, p->l3 + off, to, len, p->from);
}

static __always_inline void map_v4(struct in6_addr *to, __be32 addr)
{
	to->in6_u.u6_addr32[0] = 0;
	to->in6_u.u6_addr32[1] = 0;
	to->in6_u.u6_addr32[2] = bpf_htonl(0xffff);
	to->in6_u.u6_addr32[3] = addr;
}

// parse_ports reads what follows the IP headers. A later fragment has none.
static __always_inline void parse_ports(struct __sk_buff *skb, struct packet *p)
{
	__be16 ports[2];

	if (p->proto == IPPROTO_ICMPV6) {
		load(skb, p, p->l4, &p->icmp_type, 1);
		return;
	}
	if (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP)
		return;
	if (load(skb, p, p->l4, ports, sizeof(ports)))
		return;
	p->sport = ports[0];
	p->dport = ports[1];
	p->has_ports = 1;
}

static __always_inline int parse_v4(struct __sk_buff *skb, struct packet *p)
{
	struct iphdr ip;

	if (load(skb, p, 0, &ip, sizeof(ip)))
		return -1;
	map_v4(&p->src, ip.saddr);
	map_v4(&p->dst, ip.daddr);
	p->proto = ip.protocol;
	p->l4 = ip.ihl * 4;
	if (!(ip.frag_off & bpf_htons(FRAGMENT_OFFSET)))
		parse_ports(skb, p);
	return 0;
}

// skip_extension moves past one extension header: 1 if there was one, 0 at the
// transport header or at what can't be followed.
static __always_inline int skip_extension(struct __sk_buff *skb, struct packet *p, int *later)
{
	struct {
		__u8 next, len;
		__be16 frag;
	} ext;

	switch (p->proto) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
	case IPPROTO_FRAGMENT:
		break;
	default:
		return 0;
	}
	if (load(skb, p, p->l4, &ext, sizeof(ext)))
		return 0;
	if (p->proto == IPPROTO_FRAGMENT) {
		*later = (ext.frag & bpf_htons(0xfff8)) != 0;
		p->l4 += 8;
	} else {
		p->l4 += (ext.len + 1) * 8;
	}
	p->proto = ext.next;
	return 1;
}

static __always_inline int parse_v6(struct __sk_buff *skb, struct packet *p)
{
	struct ipv6hdr ip;
	int later = 0;

	if (load(skb, p, 0, &ip, sizeof(ip)))
		return -1;
	p->v6 = 1;
	p->src = ip.saddr;
	p->dst = ip.daddr;
	p->proto = ip.nexthdr;
	p->l4 = sizeof(ip);
	for (int i = 0; i < EXTENSIONS; i++)
		if (later || !skip_extension(skb, p, &later))
			break;
	if (!later)
		parse_ports(skb, p);
	return 0;
}

static __always_inline int is_vlan(__be16 type)
{
	return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

// skip_tags finds what a tagged frame carries. Where the kernel has the network
// header of one depends on where it comes from, so this starts at the link's.
static __always_inline __be16 skip_tags(struct __sk_buff *skb, struct packet *p)
{
	__be16 type = 0;

	p->from = BPF_HDR_START_MAC;
	p->l3 = offsetof(struct ethhdr, h_proto);
	for (int i = 0; i <= TAGS; i++) {
		if (load(skb, p, 0, &type, sizeof(type)))
			return 0;
		if (!is_vlan(type))
			break;
		p->l3 += 4;
	}
	p->l3 += sizeof(type);
	return type;
}

// parse is 0 for an IP packet. Without tags it reads through the network
// header's offset, so that it works on interfaces without a link header too.
static __always_inline int parse(struct __sk_buff *skb, struct packet *p)
{
	__be16 type = skb->protocol;

	__builtin_memset(p, 0, sizeof(*p));
	p->from = BPF_HDR_START_NET;
	if (is_vlan(type))
		type = skip_tags(skb, p);
	if (type == bpf_htons(ETH_P_IP))
		return parse_v4(skb, p);
	if (type == bpf_htons(ETH_P_IPV6))
		return parse_v6(skb, p);
	return -1;
}

// is_neighbour: router and neighbour solicitation, advertisement, redirect.
static __always_inline int is_neighbour(const struct packet *p)
{
	return p->v6 && p->proto == IPPROTO_ICMPV6 && p->icmp_type >= 133 && p->icmp_type <= 137;
}
