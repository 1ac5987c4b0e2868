package main

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"

	"squall/agent/host/hosttest"
	"squall/experiments"
	control "squall/server"
)

func TestMetricsListenOnLoopbackUnlessToldOtherwise(t *testing.T) {
	for _, c := range []struct{ where, door, want, says string }{
		{"", "10.0.1.10:7400", "127.0.0.1:7402", ""},
		{"", "[::1]:7410", "127.0.0.1:7412", ""},
		{"10.0.1.10:9100", "10.0.1.10:7400", "10.0.1.10:9100", ""},
		{":9100", "10.0.1.10:7400", ":9100", ""},
		{"", "10.0.1.10:65534", "", "no port 2 after that of 10.0.1.10:65534"},
		{"9100", "10.0.1.10:7400", "", "missing port"},
		{"10.0.1.10:http", "10.0.1.10:7400", "", `"http" is no port`},
		{"10.0.1.10:0", "10.0.1.10:7400", "", `"0" is no port`},
		{"10.0.1.10:70000", "10.0.1.10:7400", "", `"70000" is no port`},
	} {
		got, err := metricsAddress(c.where, c.door)
		if c.says == "" && (err != nil || got != c.want) {
			t.Errorf("%q beside %s is %q, %v, want %q", c.where, c.door, got, err, c.want)
		}
		if c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "\n  fix: write an address")) {
			t.Errorf("%q beside %s is refused with %v, want %q and a fix", c.where, c.door, err, c.says)
		}
	}
}

func TestAMetricsPortThatIsTakenIsNamed(t *testing.T) {
	taken, err := net.Listen("tcp", hosttest.Loopback()+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	err = (&serverOptions{metrics: address}).openMetrics(&control.Config{}, address)
	if err == nil || !strings.Contains(err.Error(), address+" is taken by another program\n  fix: write an address") {
		t.Errorf("refused with %v", err)
	}
	var exit *exitError
	if !errors.As(err, &exit) || exit.code != experiments.ExitUsage {
		t.Errorf("ends with %v, not as a usage error", err)
	}
}

func TestMetricsMayBeOff(t *testing.T) {
	cfg := &control.Config{}
	if err := (&serverOptions{metrics: metricsOff}).openMetrics(cfg, "10.0.1.10:7400"); err != nil || cfg.Metrics != nil {
		t.Errorf("listens on %v, %v", cfg.Metrics, err)
	}
}

// somewhere is a listener with an address that nobody has.
type somewhere struct {
	net.Listener
	at net.TCPAddr
}

func (s somewhere) Addr() net.Addr { return &s.at }

func TestMetricsOffLoopbackAreWarnedOf(t *testing.T) {
	for ip, warns := range map[string]bool{"127.0.0.1": false, "::1": false, "10.0.1.10": true, "::": true} {
		var said bytes.Buffer
		tellMetrics(slog.New(slog.NewTextHandler(&said, nil)), somewhere{at: net.TCPAddr{IP: net.ParseIP(ip), Port: 7402}})
		if strings.Contains(said.String(), "unencrypted") != warns {
			t.Errorf("on %s it says %s", ip, said.String())
		}
	}
}

// FuzzMetricsAddress: what is taken can be listened on, and what is not is
// refused with a fix.
func FuzzMetricsAddress(f *testing.F) {
	f.Add("127.0.0.1:7402", "10.0.0.1:7400")
	f.Add("", "[::1]:65533")
	f.Add("off", "a")
	f.Fuzz(func(t *testing.T, where, door string) {
		address, err := metricsAddress(where, door)
		if err != nil || address == metricsOff {
			return
		}
		if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
			t.Errorf("%q beside %q is %q: %v", where, door, address, err)
		}
	})
}

// TestServersAreOfTheBuildThatVersionSays: metrics tell the version of a package.
func TestServersAreOfTheBuildThatVersionSays(t *testing.T) {
	defer func(was string) { packaged = was }(packaged)
	packaged = "1.2.3"
	if cfg, _ := (&serverOptions{bundle: t.TempDir()}).config(); cfg.Version != "1.2.3" {
		t.Errorf("the server is of version %q", cfg.Version)
	}
}
