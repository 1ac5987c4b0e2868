// Programs of faults stand in a chain that is attached once, so that putting
// one in and taking it out is one store each, whatever the number of
// interfaces. The kernel empties a program array when the last process that
// holds it is dead: all faults end then, before any link is taken down.
#pragma once

#include "gate.h"

#define SLOTS 18 // two more than are ever filled

const volatile __u32 next_slot; // the first that this program hands on to

struct chain {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, __u32);
};

struct chain chain_in SEC(".maps");
struct chain chain_out SEC(".maps");

// hand_on leaves a packet to the programs further down. It has to stay a loop
// of at least two rounds: the kernel compiles a call with a constant slot to a
// jump, and to take such a jump out it waits for all processors.
#define hand_on(skb, chain)                                      \
	do {                                                     \
		_Pragma("clang loop unroll(disable)")            \
		for (__u32 i_ = next_slot; i_ < SLOTS; i_++)     \
			bpf_tail_call(skb, chain, i_);           \
	} while (0)

// The same in every network namespace.
#define LOOPBACK 1
