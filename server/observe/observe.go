// Package observe answers the machines that watch a server: its metrics for
// Prometheus, whether its process lives, and whether it is ready for work.
//
// Nothing here is counted where the work is done, but calls and commits: the
// rest is read, when somebody asks, from the newest state that is applied here.
// An answer waits for no disk, no other server and no lock that is held over
// either. Labels are bounded: no run and no host is one, zones and experiments
// are told one by one up to a number, and the rest together.
package observe

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"golang.org/x/sync/singleflight"

	"squall/server/consensus"
	"squall/server/state"
)

// Sight is a server at one moment.
type Sight struct {
	// Server is its id, and Version that of its build, empty where it has none.
	Server    string
	Version   string
	View      *state.View
	Consensus consensus.Standing
	// Now is cluster time, or the wall clock before there is one. Doubt is how far it
	// may be off, and WallOff how far it is ahead of the servers' wall clocks.
	Now            time.Time
	Doubt, WallOff time.Duration
	// Confirmed is how long ago the newest question was asked that a leader of a
	// quorum has answered and whose answer is applied here. Ever is false where
	// there is none. Agents' leases are renewed while it is younger than Lease.
	Confirmed time.Duration
	Ever      bool
	Lease     time.Duration
	// Silent is how long other servers have not been heard of, on the leader.
	Silent map[string]time.Duration
	// Agents is how many have their stream here.
	Agents int
	// Unrecorded is how many halts were heard here that are not committed yet.
	Unrecorded int
	// Archive is this server's archive of finished runs.
	Archive Archive
	// Idle is how long ago each of the server's loops last turned.
	Idle map[Loop]time.Duration
	// Lacks is why this server can't tell a sink, by the sink's name; empty where it can.
	Lacks map[string]string
	// Stopping tells that the server is about to end.
	Stopping bool
}

// Archive is what a server keeps of finished runs.
type Archive struct {
	// Runs is how many it has, and Bytes how much they take.
	Runs  int
	Bytes int64
	// Lacking is how many runs the cluster has sealed that could not be written into
	// it, and Foreign how many files in its folder are damaged or no runs.
	Lacking, Foreign int
}

// Observer answers for one server.
type Observer struct {
	look func() Sight
	// looks joins those that are under way, for questions about health.
	looks    singleflight.Group
	registry *prometheus.Registry
	calls    *calls
	commits  prometheus.Histogram

	mu    sync.Mutex // guards tally
	tally *tally
}

// New makes the observer of a server. Look is called from any goroutine and must
// not block.
func New(look func() Sight) *Observer {
	o := &Observer{look: look, registry: prometheus.NewRegistry(), calls: newCalls(), commits: newCommits(), tally: newTally()}
	o.registry.MustRegister(
		figures{look}, o.calls.handled, o.calls.took, o.commits,
		o.tally.runs, o.tally.injections, o.tally.expiries, o.tally.slots, o.tally.skew, o.tally.late,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return o
}

// Gather implements prometheus.Gatherer.
func (o *Observer) Gather() ([]*dto.MetricFamily, error) {
	v := o.look().View
	o.mu.Lock()
	o.tally.take(v)
	o.mu.Unlock()
	return o.registry.Gather()
}

const (
	// scrapeTime is how long a scrape may take, and scrapes how many there may be at
	// one time.
	scrapeTime = 10 * time.Second
	scrapes    = 4
	// readTime bounds the reading of a question, and idleTime a connection's rest.
	readTime = 5 * time.Second
	idleTime = 2 * time.Minute
	// maxHeaders is how long the head of a question may be, in bytes.
	maxHeaders = 16 << 10
)

// Serve answers on a listener until ctx ends, and closes it. It returns nil then,
// and what ended it otherwise.
func (o *Observer) Serve(ctx context.Context, l net.Listener) error {
	s := &http.Server{
		Handler: o.Handler(), ReadTimeout: readTime, WriteTimeout: 2 * scrapeTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeaders,
	}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })() // nobody waits for an answer
	err := s.Serve(l)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Handler answers /metrics, /healthz and /readyz.
func (o *Observer) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(o, promhttp.HandlerOpts{MaxRequestsInFlight: scrapes, Timeout: scrapeTime}))
	mux.Handle("GET /healthz", o.answer(Alive))
	mux.Handle("GET /readyz", o.answer(Ready))
	return mux
}
