package host

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"squall/proto/text"
)

// tryPackets names the programs of others that have packet sockets in the
// agent's network namespace. Which of them set PACKET_QDISC_BYPASS, and so send
// past every program on the way out, the kernel does not tell.
func tryPackets() (string, error) {
	table, err := os.ReadFile("/proc/thread-self/net/packet")
	if errors.Is(err, os.ErrNotExist) {
		return "the kernel has no packet sockets", nil
	}
	if err != nil {
		return "", warning{fmt.Errorf("packet sockets are not known: %w", err)}
	}
	names, err := programsWith(parsePackets(table))
	switch {
	case err != nil:
		return "", warning{fmt.Errorf("who has packet sockets is not known: %w", err)}
	case len(names) == 0:
		return "no program has a packet socket that could send past a silence", nil
	}
	return "", warning{fmt.Errorf("%s: with a packet socket when this was tried; what it sends with PACKET_QDISC_BYPASS, "+
		"which the kernel doesn't tell, passes every silence and delay", strings.Join(names, ", "))}
}

// parsePackets are the inodes of a table like /proc/net/packet.
func parsePackets(table []byte) map[string]bool {
	inodes := map[string]bool{}
	for line := range bytes.Lines(table) {
		fields := bytes.Fields(line)
		if len(fields) < 9 {
			continue
		}
		if inode := string(fields[8]); strings.Trim(inode, "0123456789") == "" {
			inodes[inode] = true
		}
	}
	return inodes
}

// programsWith names the programs that have one of the sockets open, but for this
// one, whose delay line sends through the queue.
func programsWith(sockets map[string]bool) ([]string, error) {
	if len(sockets) == 0 {
		return nil, nil
	}
	all, err := processes()
	if err != nil {
		return nil, err
	}
	names, spare := map[string]bool{}, spared(all)
	for pid, s := range all {
		if !s.kernel && !spare[pid] && holds(pid, sockets) {
			names[text.Clean(s.name)] = true
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// holds tells whether a process has one of the sockets open.
func holds(pid int, sockets map[string]bool) bool {
	open := map[string]bool{}
	socketInodes(pid, open)
	for inode := range open {
		if sockets[inode] {
			return true
		}
	}
	return false
}
