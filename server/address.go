package server

import (
	"fmt"
	"net"
	"strconv"

	"squall/proto/pki"
	"squall/server/consensus"
)

// RaftAddress is the raft port that belongs to a door: the port after it, on
// the same host.
func RaftAddress(door string) (string, error) {
	host, port, err := net.SplitHostPort(door)
	if err != nil {
		return "", fmt.Errorf("raft address of %q: %w", door, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || n == 65535 {
		return "", fmt.Errorf("raft address of %q: the port is not 1 to 65534", door)
	}
	return net.JoinHostPort(host, strconv.FormatUint(n+1, 10)), nil
}

// RaftPeers are the raft ports of all servers of a bundle.
func RaftPeers(servers []pki.Server) ([]consensus.Peer, error) {
	var out []consensus.Peer
	for _, s := range servers {
		address, err := RaftAddress(s.Address)
		if err != nil {
			return nil, fmt.Errorf("server %s: %w", s.ID, err)
		}
		out = append(out, consensus.Peer{ID: s.ID, Address: address})
	}
	return out, nil
}
