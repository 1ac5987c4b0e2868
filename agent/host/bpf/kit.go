package bpf

import (
	"time"

	pb "squall/proto/squall/v1"
)

// Kit is opened once in a worker process. It holds the lease that all of its
// attachments obey.
type Kit struct{}

// Open loads what all attachments share and reads the kernel's boot time.
func Open() (*Kit, error) { return nil, ErrUnsupported }

// Close lets go of the lease map. Attachments keep their own hold on it.
func (k *Kit) Close() error { return nil }

// Renew moves the lease to a boot time, never back.
func (k *Kit) Renew(until time.Duration) {}

// Boot is the time since boot as programs in the kernel read it.
func (k *Kit) Boot() time.Duration { return 0 }

// BootOffset is the kernel's boot time minus the process's: not 0 in a time namespace.
func (k *Kit) BootOffset() time.Duration { return 0 }

// Silence drops packets so that nobody is told. Counters: dropped_in,
// dropped_out, exempt, neighbour, passed; all count only while it acts.
func (k *Kit) Silence(op *pb.Silence) (Attachment, error) { return nil, ErrUnsupported }

// DropDNS lets lookups vanish. Counters: queries_dropped, queries_passed, answers_dropped.
func (k *Kit) DropDNS(op *pb.DropDNS) (Attachment, error) { return nil, ErrUnsupported }

// HoldDown kills each program that the cgroups or their descendants execute.
// Counters: respawns_caught, and longest_life_nanos from exec to exit.
func (k *Kit) HoldDown(op *pb.HoldDown, cgroupIDs []uint64) (Attachment, error) {
	return nil, ErrUnsupported
}

// Delay starts the delay line in a process of its own and returns when it is
// armed. Counters: delayed_out, delayed_in, exempt, expired, stale, lost, queued.
func (k *Kit) Delay(op *pb.DelayLine) (Attachment, error) { return nil, ErrUnsupported }

// Try does one mechanism in a namespace of its own and ends it: silence,
// dns.drop, delay.line or hold.exec. Detail names the engine.
func (k *Kit) Try(name string) (detail string, err error) { return "", ErrUnsupported }
