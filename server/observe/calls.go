package observe

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/status"
)

// calls are the RPCs that this server has answered.
type calls struct {
	handled *prometheus.CounterVec
	took    *prometheus.HistogramVec
}

func newCalls() *calls {
	return &calls{
		handled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "squall_rpc_requests_total", Help: "Calls that this server has answered, streams when they ended.",
		}, []string{"service", "method", "code"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "squall_rpc_seconds", Help: "How long this server took to answer a call; streams are not in it.",
			Buckets: []float64{.001, .005, .02, .1, .5, 2, 10},
		}, []string{"service", "method"}),
	}
}

func newCommits() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "squall_raft_commit_seconds", Help: "How long commands took from the leader's proposal until they were applied there; of those that this server proposed as leader.",
		Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5},
	})
}

// Call counts a call that was answered, "/service/method" with its error.
func (o *Observer) Call(method string, err error) {
	service, name := parted(method)
	o.calls.handled.WithLabelValues(service, name, status.Code(err).String()).Inc()
}

// Took notes how long a call took that is no stream.
func (o *Observer) Took(method string, d time.Duration) {
	service, name := parted(method)
	o.calls.took.WithLabelValues(service, name).Observe(d.Seconds())
}

// Committed notes how long a command took to be committed and applied.
func (o *Observer) Committed(d time.Duration) { o.commits.Observe(d.Seconds()) }

// parted are service and method of a gRPC method's full name.
func parted(full string) (service, method string) {
	service, method, _ = strings.Cut(strings.TrimPrefix(full, "/"), "/")
	return service, method
}
