package host

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// States of sockets in /proc/net, in hex, that take packets from strangers.
const (
	tcpListens = "0A"
	udpOpen    = "07"
)

// socketTables are the tables of /proc/PID/net that list such sockets.
var socketTables = map[string]string{
	"tcp": tcpListens, "tcp6": tcpListens, "udp": udpOpen, "udp6": udpOpen,
}

// listening finds the local ports on which processes wait for strangers: TCP
// and UDP, v4 and v6. It reads their descriptors and the socket tables of
// their own network namespaces.
func listening(pids []int) []uint32 {
	inodes := map[string]bool{}
	namespaces := map[string]int{}
	for _, pid := range pids {
		socketInodes(pid, inodes)
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid)); err == nil {
			namespaces[ns] = pid
		}
	}
	ports := map[uint32]bool{}
	own, _ := os.Readlink("/proc/thread-self/ns/net")
	for ns, pid := range namespaces {
		asked := ns == own && tcpListeners(inodes, ports) == nil
		for table, state := range socketTables {
			if !asked || state != tcpListens {
				readSockets(pid, table, inodes, ports)
			}
		}
	}
	return slices.Sorted(maps.Keys(ports))
}

// readSockets adds ports from a table of /proc, which every kernel has.
func readSockets(pid int, table string, inodes map[string]bool, ports map[uint32]bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
	if err == nil {
		parseSockets(b, socketTables[table], inodes, ports)
	}
}

// socketInodes adds the sockets that a process has open.
func socketInodes(pid int, inodes map[string]bool) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // it has ended
	}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if inode, ok := strings.CutPrefix(target, "socket:["); ok && err == nil {
			inodes[strings.TrimSuffix(inode, "]")] = true
		}
	}
}

// parseSockets adds the local ports of those sockets of a table that are in a
// state and belong to one of the inodes.
func parseSockets(table []byte, state string, inodes map[string]bool, ports map[uint32]bool) {
	for line := range bytes.Lines(table) {
		fields := strings.Fields(string(line))
		if len(fields) < 10 || fields[3] != state || !inodes[fields[9]] {
			continue
		}
		_, hex, _ := strings.Cut(fields[1], ":")
		if port, err := strconv.ParseUint(hex, 16, 16); err == nil && port > 0 {
			ports[uint32(port)] = true
		}
	}
}
