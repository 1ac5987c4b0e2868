package bench

import (
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// labHosts is how many namespaces the built-in lab makes.
const labHosts = 10

// BenchmarkLabUp is a lab until everything on it is ready. The baseline is as
// many bare processes in such namespaces.
func BenchmarkLabUp(b *testing.B) {
	r := stage(b)
	var up, bare []time.Duration
	for range rounds {
		up = append(up, r.up("lab", "shop"))
		r.run("lab", "down")
		bare = append(bare, namespaces(b))
	}
	row{
		name: "lab up, 3 zones × 2 hosts, until ready", unit: "s", values: in(time.Second, up), judged: median, limit: 3,
		base: in(time.Second, bare), baseName: "ten bare processes in namespaces",
	}.print()
}

func namespaces(b *testing.B) time.Duration {
	b.Helper()
	began := time.Now()
	for range labHosts {
		cmd := exec.Command("true")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		}
		must(b, cmd.Run())
	}
	return time.Since(began)
}
