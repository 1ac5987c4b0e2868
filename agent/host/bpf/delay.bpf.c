//go:build ignore

// The delay line's hooks: packets turn off to a TAP, and come back from it.

#include "beat.h"
#include "exempt.h"
#include "held.h"

enum { DELAYED_OUT, DELAYED_IN, EXEMPT, EXPIRED };

struct prefix {
	__u32 prefixlen;
	struct in6_addr addr;
} __attribute__((packed));

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct prefix);
	__type(value, __u8);
} peers SEC(".maps");

#define BODY 1

// One program each, called from what is attached to the interfaces. The kernel
// empties these when the process that holds the packets is dead, before the
// TAP is gone and long before the last link is taken down.
struct bodies {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, BODY + 1);
	__type(key, __u32);
	__type(value, __u32);
};

struct bodies bodies_in SEC(".maps");
struct bodies bodies_out SEC(".maps");

const volatile __u32 tap; // interface index

// Where a frame was turned off: an interface index, and these.
#define WAY_IN (1u << 31)
#define TAGGED (1u << 30) // its outermost VLAN tag is beside it, not in it
#define DEVICE (TAGGED - 1)

// What goes before a frame to the TAP. The TAP writes a tag that is beside a
// frame 12 bytes from its start, which is right behind this.
struct stamp {
	__u64 at; // a frame is due counted from here, however late the loop reads it
	__u32 where;
} __attribute__((packed));

static __always_inline int is_peer(const struct in6_addr *addr)
{
	struct prefix key = { .prefixlen = 128, .addr = *addr };

	return bpf_map_lookup_elem(&peers, &key) != 0;
}

static __always_inline int alive(void)
{
	__u32 zero = 0;
	volatile struct heartbeat *p = bpf_map_lookup_elem(&beat, &zero);

	return p && !p->killed && bpf_ktime_get_boot_ns() < p->until;
}

static __always_inline int stamp(struct __sk_buff *skb, __u32 way)
{
	struct stamp s = { .at = bpf_ktime_get_boot_ns(), .where = skb->ifindex | way };

	if (skb->vlan_present)
		s.where |= TAGGED;
	return bpf_skb_change_head(skb, sizeof(s), 0) ||
	       bpf_skb_store_bytes(skb, 0, &s, sizeof(s), 0);
}

// turn_off is where a packet goes that is to be held.
static __always_inline int turn_off(struct __sk_buff *skb, int exempt, __u32 way, __u32 counter)
{
	if (exempt) {
		count(EXEMPT);
		return PASS;
	}
	if (!alive() || stamp(skb, way)) {
		count(EXPIRED);
		return PASS;
	}
	count(counter);
	return bpf_redirect(tap, 0);
}

SEC("tcx/egress")
int delay_out(struct __sk_buff *skb)
{
	struct packet p;

	if (was_held(skb) || !gate_open() || parse(skb, &p) || is_neighbour(&p) || !is_peer(&p.dst))
		return PASS;
	return turn_off(skb, exempt_out(skb, &p), 0, DELAYED_OUT);
}

SEC("tcx/ingress")
int delay_in(struct __sk_buff *skb)
{
	struct packet p;

	if (was_held(skb) || !gate_open() || parse(skb, &p) || is_neighbour(&p) || !is_peer(&p.src))
		return PASS;
	return turn_off(skb, exempt_in(skb, &p), WAY_IN, DELAYED_IN);
}

// own_body is not a constant to the verifier: see chain.h.
static __always_inline __u32 own_body(struct __sk_buff *skb)
{
	return skb->ifindex ? BODY : 0;
}

SEC("tcx/egress")
int line_out(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &bodies_out, own_body(skb));
	return PASS;
}

SEC("tcx/ingress")
int line_in(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &bodies_in, own_body(skb));
	return PASS;
}

// line_return runs where the TAP hands a frame back, and sends it on by the
// interface where it was turned off. That comes in two VLAN tags, its upper half
// in the outer one: taking both off leaves the frame as it was, the outermost of
// its own tags beside it. A frame on its way out meets all programs of its
// interface anew, so that a silence that began meanwhile keeps it.
SEC("tcx/ingress")
int line_return(struct __sk_buff *skb)
{
	__u32 where = skb->vlan_tci << 16;

	if (!skb->vlan_present || bpf_skb_vlan_pop(skb) || !skb->vlan_present)
		return DROP;
	where |= skb->vlan_tci & 0xffff;
	if (bpf_skb_vlan_pop(skb))
		return DROP;
	skb->tc_index = where & WAY_IN ? held_token : held_token | HELD_OUT;
	return bpf_redirect(where & DEVICE, where & WAY_IN ? BPF_F_INGRESS : 0);
}
