#!/bin/sh
# Compiles the programs. Objects and bindings are committed, so only who
# changes a program needs clang. One object serves every little-endian machine.
set -eu
cd "$(dirname "$0")"
for program in boot entry silence dns hold delay kill; do
	go tool -modfile=../../../.tools/gen/go.mod bpf2go \
		-go-package bpf -target bpfel -no-global-types -output-stem "$program" "$program" "$program.bpf.c" -- \
		-mcpu=v3 -O2 -g -Wall -Werror \
		-I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
done
