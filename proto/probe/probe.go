// Package probe measures from the outside: it makes one HTTP request, one TCP
// connection or one lookup, again and again, and closes a window of the readings
// each second.
//
// Agents and servers run the same probes, and neither may import the other:
// hence its place beside the vocabulary. Sockets of probes carry no mark, so
// that no fault spares them.
package probe

import (
	"context"
	"fmt"
	"time"

	pb "squall/proto/squall/v1"
)

// defaultTimeout applies where a probe names none.
const defaultTimeout = time.Second

// Reading is one attempt.
type Reading struct {
	// Start is when it began, on the wall clock of this process.
	Start time.Time
	// Duration is how long it took, to the answer or to giving up.
	Duration time.Duration
	OK       bool
	// Value is set by probes that give one.
	Value *float64
	// Err says why it failed; empty when OK.
	Err string
}

// Probe makes one attempt, bounded by the probe's timeout. It never fails: an
// attempt that could not be made is a reading that is not OK.
func Probe(ctx context.Context, p *pb.Probe) Reading {
	ctx, cancel := context.WithTimeout(ctx, timeout(p))
	defer cancel()
	r := Reading{Start: time.Now()}
	err := attempt(ctx, p)
	r.Duration, r.OK = time.Since(r.Start), err == nil
	if err != nil {
		r.Err = err.Error()
	}
	return r
}

func attempt(ctx context.Context, p *pb.Probe) error {
	switch k := p.GetKind().(type) {
	case *pb.Probe_Http:
		return getHTTP(ctx, k.Http)
	case *pb.Probe_Tcp:
		return dialTCP(ctx, k.Tcp)
	case *pb.Probe_Dns:
		return lookUp(ctx, k.Dns)
	default:
		return fmt.Errorf("probe: this build can't make a probe of kind %T", k)
	}
}

func timeout(p *pb.Probe) time.Duration {
	if n := p.GetTimeout().GetNanos(); n > 0 {
		return time.Duration(n)
	}
	return defaultTimeout
}
