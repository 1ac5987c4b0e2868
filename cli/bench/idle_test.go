package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// settle is how long a lab is left alone before it counts as idle.
	settle = 15 * time.Second
	// idleFor is how long idle agents are watched, each time.
	idleFor = 20 * time.Second
)

// BenchmarkIdleAgent is the memory, the processor time and the wake-ups of
// supervisor and worker together, on every host of an idle lab, twice. Each
// agent counts its share of pages that it has in common with others. The
// baselines are a `sleep`, and a loop in this process that only waits for a
// second, five times in each.
func BenchmarkIdleAgent(b *testing.B) {
	r := newRegion(b, "lab", "shop")
	sleep := exec.Command("sleep", "600")
	must(b, sleep.Start())
	defer func() { _ = sleep.Process.Kill(); _ = sleep.Wait() }()
	time.Sleep(settle)
	agents := r.agents()
	var memory, share, wakes, floor, least []float64
	for range 2 {
		before := make(map[string]effort)
		for host, pids := range agents {
			before[host] = spent(b, pids)
		}
		least = append(least, waiter(b))
		for host, pids := range agents {
			now, then := spent(b, pids), before[host]
			took := float64(now.at.Sub(then.at))
			memory = append(memory, pss(b, pids))
			share = append(share, 100*float64(now.cpu-then.cpu)/took)
			wakes = append(wakes, float64(now.wakes-then.wakes)/took*float64(time.Second))
		}
		floor = append(floor, pss(b, []int{sleep.Process.Pid}))
	}
	row{name: "idle agent, memory of both processes (PSS)", unit: "MB", values: memory, judged: median, limit: 16, base: floor, baseName: "sleep"}.print()
	row{name: "idle agent, share of one core", unit: "%", values: share, judged: median, limit: 0.15, base: least, baseName: "a thread that wakes up five times a second"}.print()
	row{name: "idle agent, wake-ups of all its threads", unit: "/s", values: wakes, judged: median, limit: 100, base: []float64{waits}, baseName: "the same"}.print()
}

// waits is how often the baseline wakes up in a second.
const waits = 5

// waiter lets idleFor pass on a thread that only sleeps and wakes up, and says
// what share of a core that took, in percent.
func waiter(t testing.TB) float64 {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const self = "/proc/thread-self"
	before, began := onCPU(t, self), time.Now()
	for range waits * int(idleFor/time.Second) {
		pause := syscall.NsecToTimespec(int64(time.Second / waits))
		_ = syscall.Nanosleep(&pause, nil)
	}
	return 100 * float64(onCPU(t, self)-before) / float64(time.Since(began))
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

// effort is what processes have done until an instant.
type effort struct {
	at    time.Time
	cpu   time.Duration
	wakes int
}

// spent adds up the threads of processes. The kernel's own sums of a process
// count in ticks of 10 ms.
func spent(t testing.TB, pids []int) effort {
	t.Helper()
	e := effort{at: time.Now()}
	for _, pid := range pids {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		must(t, err)
		for _, thread := range threads {
			if _, err := os.Stat(thread); err == nil { // else it has ended
				e.cpu += onCPU(t, thread)
				e.wakes += switches(t, thread)
			}
		}
	}
	return e
}

// onCPU is the time that a thread has run, by the scheduler's account.
func onCPU(t testing.TB, thread string) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(thread + "/schedstat")
	must(t, err)
	first, _, _ := strings.Cut(string(stat), " ")
	n, err := strconv.ParseInt(first, 10, 64)
	must(t, err)
	return time.Duration(n)
}

// switches is how often a thread went to sleep by itself.
func switches(t testing.TB, thread string) int {
	t.Helper()
	status, err := os.ReadFile(thread + "/status")
	must(t, err)
	_, after, _ := strings.Cut(string(status), "\nvoluntary_ctxt_switches:")
	first, _, _ := strings.Cut(after, "\n")
	n, err := strconv.Atoi(strings.TrimSpace(first))
	must(t, err)
	return n
}
