#!/bin/sh
# Compiles the programs. Objects and bindings are committed, so only who
# changes a program needs clang. One object serves every little-endian machine.
set -eu
cd "$(dirname "$0")"
for source in *.bpf.c; do
	program=${source%.bpf.c}
	go tool -modfile=../../../.tools/gen/go.mod bpf2go \
		-go-package bpf -target bpfel -no-global-types -output-stem "$program" "$program" "$source" -- \
		-mcpu=v3 -O2 -g -Wall -Werror \
		-I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
done
