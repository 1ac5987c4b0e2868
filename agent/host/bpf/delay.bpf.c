//go:build ignore

// The delay line's points: packets turn off to a TAP, and come back from it.

#include "beat.h"
#include "exempt.h"

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

#define DEVICES 256

struct bodies {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, DEVICES);
	__type(key, __u32);
	__type(value, __u32);
};

// The kernel empties these when the process that holds the packets is dead,
// before the TAPs are gone and long before the last link is taken down.
struct bodies bodies_in SEC(".maps");
struct bodies bodies_out SEC(".maps");

const volatile __u32 body; // of this device
const volatile __u32 tap_out, tap_in; // interface indexes
const volatile __u32 device; // the interface between which and the TAPs this runs
const volatile __u32 return_mark;

static __always_inline int is_peer(const struct in6_addr *addr)
{
	struct prefix key = { .prefixlen = 128, .addr = *addr };

	return bpf_map_lookup_elem(&peers, &key) != 0;
}

static __always_inline int alive(void)
{
	__u32 zero = 0;
	volatile struct pulse *p = bpf_map_lookup_elem(&beat, &zero);

	return p && !p->killed && bpf_ktime_get_boot_ns() < p->until;
}

// stamp puts the instant before the frame: a frame is due counted from here,
// however long the loop takes to wake up and read it.
static __always_inline int stamp(struct __sk_buff *skb)
{
	__u64 now = bpf_ktime_get_boot_ns();

	return bpf_skb_change_head(skb, sizeof(now), 0) ||
	       bpf_skb_store_bytes(skb, 0, &now, sizeof(now), 0);
}

// turn_off is where a packet goes that is to be held.
static __always_inline int turn_off(struct __sk_buff *skb, int exempt, __u32 tap, __u32 counter)
{
	if (exempt) {
		count(EXEMPT);
		return PASS;
	}
	if (!alive() || stamp(skb)) {
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

	// Held already, on an interface stacked upon this one.
	if (return_mark && skb->mark == return_mark)
		return PASS;
	if (!gate_open() || parse(skb, &p) || is_neighbour(&p) || !is_peer(&p.dst))
		return PASS;
	return turn_off(skb, exempt_out(skb, &p), tap_out, DELAYED_OUT);
}

SEC("tcx/ingress")
int delay_in(struct __sk_buff *skb)
{
	struct packet p;

	if (return_mark && skb->mark == return_mark) {
		skb->mark = 0;
		return PASS;
	}
	if (!gate_open() || parse(skb, &p) || is_neighbour(&p) || !is_peer(&p.src))
		return PASS;
	return turn_off(skb, exempt_in(skb, &p), tap_in, DELAYED_IN);
}

// own_body is never 0, and not a constant to the verifier: see chain.h.
static __always_inline __u32 own_body(struct __sk_buff *skb)
{
	return skb->ifindex ? body : 0;
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

// line_return runs where the inbound TAP hands a frame back: on to the
// interface that it came in by, marked so that it is not held again.
SEC("tcx/ingress")
int line_return(struct __sk_buff *skb)
{
	skb->mark = return_mark;
	return bpf_redirect(device, BPF_F_INGRESS);
}
