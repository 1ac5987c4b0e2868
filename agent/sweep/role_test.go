package sweep

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"squall/agent"
	"squall/agent/helper"
	pb "squall/proto/squall/v1"
)

// The test binary plays the agent's processes, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "helper":
			os.Exit(helper.Main(os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
		case "agent", "agent-worker":
			os.Exit(role(os.Args[1], os.Args[2], os.Args[3]))
		}
	}
	os.Exit(m.Run())
}

// role lives one of the agent's two lives in a lane's folder.
func role(life, dir, cgroup string) int {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil)).With("pid", os.Getpid())
	p := &agent.Process{
		Config: config(), State: filepath.Join(dir, "state"), Run: filepath.Join(dir, "run"), Socket: filepath.Join(dir, "sock"), Cgroup: cgroup,
		Worker: []string{"agent-worker", dir, cgroup}, Hook: stopper(dir, life), Version: "sweep", Log: log,
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := p.Supervise
	if life == "agent-worker" {
		err = p.Work
	}
	if err := err(ctx); err != nil {
		log.Error("end", "err", err)
		return 1
	}
	return 0
}

func config() *pb.HostConfig {
	return &pb.HostConfig{
		Name: "sweep", Zone: "zone-a",
		Workloads: []*pb.Workload{
			{Name: "web", Start: []string{"/bin/sleep", "100000"}},
			{Name: "db", Start: []string{"/bin/sleep", "200000"}},
		},
	}
}

// stopEnv makes the first worker hold still at the nth point around a durable
// write or an operation, and tell so in the file "stopped".
const stopEnv = "SQUALL_SWEEP_STOP"

func stopper(dir, life string) func(string) {
	at, _ := strconv.ParseInt(os.Getenv(stopEnv), 10, 64)
	var count atomic.Int64
	return func(point string) {
		n := count.Add(1)
		if life == "agent-worker" {
			note(filepath.Join(dir, "points"), point)
		}
		if life != "agent-worker" || n != at {
			return
		}
		f, err := os.OpenFile(filepath.Join(dir, "stopped"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return // an earlier worker was stopped already
		}
		fmt.Fprintf(f, "%s", point)
		f.Close()
		for _, err := os.Stat(f.Name() + ".go"); err != nil; _, err = os.Stat(f.Name() + ".go") {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func note(path, line string) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	fmt.Fprintln(f, line)
}
