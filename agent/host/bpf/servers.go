package bpf

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// MaxServers is how many servers are exempt at most, as in exempt.h.
const MaxServers = 256

// newServers makes the set of servers that the programs of all faults of a worker
// share, those of its delay lines included.
func newServers() (*ebpf.Map, error) {
	spec, err := loadSilence()
	if err != nil {
		return nil, fmt.Errorf("read the programs: %w", err)
	}
	m, err := ebpf.NewMap(spec.Maps[silenceMapServers])
	if err != nil {
		return nil, missing("make a set of servers", err)
	}
	return m, nil
}

// Exempt exempts servers, as address:port, from every fault that has an exemption:
// those that hold now, from the next packet on, and those to come. It goes on past
// errors. There is room for MaxServers.
func (l *Loader) Exempt(servers []string) error {
	var errs []error
	for _, s := range servers {
		key, err := serverOf(s)
		if err == nil {
			err = l.exempt(key)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (l *Loader) exempt(servers ...endpointKey) error {
	err := fill(l.servers, servers)
	if errors.Is(err, unix.E2BIG) {
		return fmt.Errorf("exempt servers: there are more than %d: %w", MaxServers, err)
	}
	return err
}

// share gives a map as a file for a process to inherit.
func share(m *ebpf.Map, name string) (*os.File, error) {
	fd, err := unix.FcntlInt(uintptr(m.FD()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("share %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
