// Which packets a delay line has held. They carry a token through whatever they
// pass afterwards, interfaces stacked upon each other and forwarding included, so
// that each is held once. It is in the tc_index, which nothing but classifiers of
// traffic control reads, and not in the mark, which routing and firewalls do.
#pragma once

#include "gate.h"

// One for all delay lines of a process; 0 is none. Its lower bits are 0: Cilium
// keeps flags of its own in the lowest five.
const volatile __u16 held_token;

#define HELD_OUT 32 // added on the way out

static __always_inline int was_held(const struct __sk_buff *skb)
{
	return held_token && (skb->tc_index & ~HELD_OUT) == held_token;
}

static __always_inline int was_held_out(const struct __sk_buff *skb)
{
	return held_token && skb->tc_index == (held_token | HELD_OUT);
}
