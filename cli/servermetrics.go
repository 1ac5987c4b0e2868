package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"syscall"

	control "squall/server"
)

const (
	// metricsOff is the setting for a server that nobody watches.
	metricsOff = "off"
	// metricsAfter is how far the metrics' port lies after the server's own, where
	// no other is given: Raft has the one between.
	metricsAfter = 2
	metricsFix   = "write an address such as 127.0.0.1:7402, or off, in --metrics-listen or in the setting metrics.listen"
)

// checkMetricsListen refuses what is neither host:port, off, nor empty.
func checkMetricsListen(where string) error {
	if where == "" || where == metricsOff {
		return nil
	}
	_, port, err := net.SplitHostPort(where)
	if err == nil {
		if n, bad := strconv.ParseUint(port, 10, 16); bad == nil && n > 0 {
			return nil
		}
		err = fmt.Errorf("%q is no port", port)
	}
	return fmt.Errorf("address for metrics %q: %w\n  fix: %s", where, err, metricsFix)
}

// metricsAddress is where a server with its door at an address answers those who
// watch it: on loopback, unless somebody said otherwise.
func metricsAddress(where, door string) (string, error) {
	if where != "" {
		return where, checkMetricsListen(where)
	}
	_, port, err := net.SplitHostPort(door)
	if err != nil {
		return "", fmt.Errorf("address for metrics, beside %q: %w", door, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n > 1<<16-1-metricsAfter {
		return "", fmt.Errorf("address for metrics: there is no port %d after that of %s\n  fix: %s", metricsAfter, door, metricsFix)
	}
	return net.JoinHostPort("127.0.0.1", strconv.FormatUint(n+metricsAfter, 10)), nil
}

// openMetrics opens the listener for those who watch the server.
func (o *serverOptions) openMetrics(cfg *control.Config, door string) error {
	if o.metrics == metricsOff {
		return nil
	}
	address, err := metricsAddress(o.metrics, door)
	if err != nil {
		return usage(err)
	}
	cfg.Metrics, err = net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return usage(fmt.Errorf("listen for metrics: %s is taken by another program\n  fix: %s", address, metricsFix))
	case err != nil:
		return usage(fmt.Errorf("listen for metrics: %w\n  fix: %s", err, metricsFix))
	}
	return nil
}

// tellMetrics says where the metrics are, and that others may read them.
func tellMetrics(log *slog.Logger, l net.Listener) {
	if l == nil {
		return
	}
	log.Info("tells metrics and health", "address", l.Addr().String())
	if at, ok := l.Addr().(*net.TCPAddr); ok && !at.IP.IsLoopback() {
		log.Warn("metrics are not on loopback: they go out unencrypted, to anybody who asks", "address", at.String())
	}
}
