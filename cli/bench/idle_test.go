package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	// settle is how long a lab is left alone before it counts as idle.
	settle = 15 * time.Second
	// idleFor is how long idle agents are watched, each time.
	idleFor = 20 * time.Second
	// tick is the kernel's unit of processor time, USER_HZ.
	tick = 10 * time.Millisecond
)

// BenchmarkIdleAgent is the memory and the processor time of supervisor and
// worker together, on every host of an idle lab, twice. Each agent counts its
// share of pages that it has in common with others. The baseline is a `sleep`.
func BenchmarkIdleAgent(b *testing.B) {
	r := newRegion(b, "lab", "shop")
	sleep := exec.Command("sleep", "600")
	must(b, sleep.Start())
	defer func() { _ = sleep.Process.Kill(); _ = sleep.Wait() }()
	time.Sleep(settle)
	agents := r.agents()
	var memory, share, floor []float64
	for range 2 {
		before := make(map[string]time.Duration)
		for host, pids := range agents {
			before[host] = cpu(b, pids)
		}
		time.Sleep(idleFor)
		for host, pids := range agents {
			memory = append(memory, pss(b, pids))
			share = append(share, 100*float64(cpu(b, pids)-before[host])/float64(idleFor))
		}
		floor = append(floor, pss(b, []int{sleep.Process.Pid}))
	}
	row{name: "idle agent, memory of both processes (PSS)", unit: "MB", values: memory, judged: median, limit: 30, base: floor, baseName: "sleep"}.print()
	row{name: "idle agent, share of one core", unit: "%", values: share, judged: median, limit: 0.2, base: nil, baseName: ""}.print()
}

// agents are the processes of each host's agent.
func (r *region) agents() map[string][]int {
	r.Helper()
	found := map[string][]int{}
	for pid, args := range processes(r.TB) {
		if len(args) > 3 && strings.HasPrefix(args[1], "agent") {
			for _, a := range args {
				if dir, ok := strings.CutPrefix(a, string(r.folder)+"/hosts/"); ok {
					host, _, _ := strings.Cut(dir, "/")
					found[host] = append(found[host], pid)
					break
				}
			}
		}
	}
	for host, pids := range found {
		if len(pids) != 2 {
			r.Fatalf("%s has %d agent processes, not 2", host, len(pids))
		}
	}
	if len(found) == 0 {
		r.Fatal("no agent runs")
	}
	return found
}

// processes are the command lines of all processes.
func processes(t testing.TB) map[int][]string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	found := map[int][]string{}
	for _, f := range files {
		line, err := os.ReadFile(f)
		pid, bad := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if err == nil && bad == nil && len(line) > 0 {
			found[pid] = strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
		}
	}
	return found
}

// pss is the memory of processes in megabytes, shared pages by their share.
func pss(t testing.TB, pids []int) float64 {
	t.Helper()
	total := 0.0
	for _, pid := range pids {
		rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		must(t, err)
		for s := bufio.NewScanner(bytes.NewReader(rollup)); s.Scan(); {
			var kb float64
			if n, _ := fmt.Sscanf(s.Text(), "Pss: %f kB", &kb); n == 1 {
				total += kb * 1024 / 1e6
			}
		}
	}
	return total
}

// cpu is the processor time that processes have used.
func cpu(t testing.TB, pids []int) time.Duration {
	t.Helper()
	var total time.Duration
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		must(t, err)
		_, after, _ := strings.Cut(string(stat), ") ") // the name may have spaces
		fields := strings.Fields(after)
		for _, f := range fields[11:13] { // utime, stime
			n, err := strconv.Atoi(f)
			must(t, err)
			total += time.Duration(n) * tick
		}
	}
	return total
}
