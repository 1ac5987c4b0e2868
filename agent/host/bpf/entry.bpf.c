//go:build ignore

// The two programs that are attached to interfaces. By themselves they do
// nothing: faults are what stands in the chain.

#include "chain.h"

SEC("tcx/ingress")
int entry_in(struct __sk_buff *skb)
{
	hand_on(skb, &chain_in);
	return PASS;
}

SEC("tcx/egress")
int entry_out(struct __sk_buff *skb)
{
	hand_on(skb, &chain_out);
	return PASS;
}
