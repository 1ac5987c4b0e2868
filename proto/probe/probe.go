// Package probe measures from the outside: it makes one HTTP request, one TCP
// connection, one lookup, one health check or one query, again and again, and
// closes a window of the readings each second. Programs, which kind exec runs,
// are started by whoever may start processes.
//
// Agents and servers run the same probes, and neither may import the other:
// hence its place beside the vocabulary. Sockets of probes carry no mark, so
// that no fault spares them.
package probe

import (
	"context"
	"errors"
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
	ctx, cancel := context.WithTimeout(ctx, Timeout(p))
	defer cancel()
	return Measure(func() (*float64, error) { return attempt(ctx, p) })
}

// Measure makes one attempt of any kind, which may give a value, into a reading.
func Measure(attempt func() (*float64, error)) Reading {
	r := Reading{Start: time.Now()}
	value, err := attempt()
	r.Duration, r.OK = time.Since(r.Start), err == nil
	if err != nil {
		r.Err = err.Error()
	} else {
		r.Value = value
	}
	return r
}

func attempt(ctx context.Context, p *pb.Probe) (*float64, error) {
	switch k := p.GetKind().(type) {
	case *pb.Probe_Http:
		return nil, getHTTP(ctx, k.Http)
	case *pb.Probe_Tcp:
		return nil, dialTCP(ctx, k.Tcp)
	case *pb.Probe_Dns:
		return nil, lookUp(ctx, k.Dns)
	case *pb.Probe_Grpc:
		return nil, checkHealth(ctx, k.Grpc)
	case *pb.Probe_Promql:
		return query(ctx, k.Promql)
	case *pb.Probe_Exec:
		return nil, errors.New("a probe of kind exec runs on hosts, whose configs say what it runs")
	default:
		return nil, fmt.Errorf("this build can't make a probe of kind %T", k)
	}
}

// Timeout is how long one attempt may take.
func Timeout(p *pb.Probe) time.Duration {
	if n := p.GetTimeout().GetNanos(); n > 0 {
		return time.Duration(n)
	}
	return defaultTimeout
}
