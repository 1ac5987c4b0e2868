package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// manyInterfaces is how many a host has that carries a pod or a bridge for each
// of its workloads.
const manyInterfaces = 40

// BenchmarkHalt is the lever over a lab of which one zone has no power and one no
// names, which is all that guardrails let in at one time: until the last packet
// is let through again, and until every host has shown that it is clean.
func BenchmarkHalt(b *testing.B) {
	r := newRegion(b, "lab", "shop")
	r.haltRows("quiet", 100, r.halt)
}

// BenchmarkHaltWithManyInterfaces has each dark host cut at forty interfaces.
func BenchmarkHaltWithManyInterfaces(b *testing.B) {
	r := newRegion(b, "lab", "shop")
	for _, host := range darkHosts {
		for n := 1; n < manyInterfaces; n += 2 {
			one, other := fmt.Sprint("more", n), fmt.Sprint("more", n+1)
			r.on(host, "ip link add "+one+" type veth peer name "+other)
			r.on(host, "ip link set "+one+" up; ip link set "+other+" up")
		}
	}
	r.haltRows(fmt.Sprint(manyInterfaces, " interfaces"), 300, r.halt)
}

// BenchmarkHaltWithAFrozenDisk has the file system of one dark host's journal
// answer nobody while the lever is pulled.
func BenchmarkHaltWithAFrozenDisk(b *testing.B) {
	r := newRegion(b, "lab", "shop")
	host := darkHosts[0]
	state, disk := filepath.Join(r.folder.Host(host), "state"), filepath.Join(filepath.Dir(string(r.folder)), "disk")
	r.on(host, "truncate -s 64M "+disk+" && mkfs.ext4 -q "+disk+" && mount -o loop "+disk+" "+state)
	r.on(host, `for p in /proc/[0-9]*; do grep -qzx -e agent -e agent-worker $p/cmdline && kill -9 ${p#/proc/}; done; true`)
	r.on(host, "until [ -e "+state+"/*journal* ]; do sleep 0.1; done")
	r.haltRows("one disk frozen", 150, func() time.Duration {
		thaw := r.freeze(host, state)
		defer thaw()
		return r.halt()
	})
}

// on runs a line of shell on a host.
func (r *region) on(host, line string) {
	r.Helper()
	r.run("lab", "exec", host, "--", "/bin/sh", "-c", "PATH=/usr/sbin:/usr/bin:/sbin:/bin; "+line)
}

// freeze lets a host's file system answer nobody until thaw is called, or this
// process ends in whatever way: the pipe tells.
func (r *region) freeze(host, dir string) (thaw func()) {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	guard := exec.CommandContext(ctx, r.squall, "lab", "exec", host, "--",
		"/bin/sh", "-c", `/sbin/fsfreeze --freeze "$0" && echo frozen; cat; /sbin/fsfreeze --unfreeze "$0"`, dir)
	here, err := guard.StdinPipe()
	must(r, err)
	says, err := guard.StdoutPipe()
	must(r, err)
	must(r, guard.Start())
	word := make([]byte, len("frozen\n"))
	_, err = io.ReadFull(says, word)
	must(r, err)
	return func() {
		defer cancel()
		must(r, here.Close())
		must(r, guard.Wait())
	}
}

// darkHosts are those of the zone without power.
var darkHosts = []string{"web-b1", "db-b1"}

// haltRows takes the rounds of one case.
func (r *region) haltRows(name string, limit float64, halt func() time.Duration) {
	r.Helper()
	var lifted, took, asked []time.Duration
	for range rounds {
		r.inject("power.off", "--zone", "zone-b")
		r.inject("dns.fail", "--zone", "zone-a")
		var heard []func() time.Time
		for _, host := range darkHosts {
			heard = append(heard, r.listen(host))
		}
		time.Sleep(200 * time.Millisecond) // who listens is up, and nobody answers
		began := time.Now()
		took = append(took, halt())
		last := began
		for _, at := range heard {
			if t := at(); t.After(last) {
				last = t
			}
		}
		lifted = append(lifted, last.Sub(began))
		r.run("resume")
		r.rest()
		asked = append(asked, r.run("get", "runs"))
		time.Sleep(time.Second) // workloads get ready again
	}
	ask := "squall get runs"
	row{name: "halt, " + name + ": last silence lifted", unit: "ms", values: millis(lifted), judged: median, limit: limit, base: millis(asked), baseName: ask}.print()
	row{name: "halt, " + name + ": all clean and started", unit: "ms", values: millis(took), judged: most, limit: 1000, base: millis(asked), baseName: ask}.print()
}

// halt pulls the lever, and says what the command took.
func (r *region) halt() time.Duration {
	r.Helper()
	return r.run("halt", "--reason", "bench")
}

// listen asks a silent host for an echo every two milliseconds; the answer is when
// it was first heard.
func (r *region) listen(host string) (heard func() time.Time) {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	ping := exec.CommandContext(ctx, r.squall, "lab", "exec", "shopper-1", "--",
		"/bin/ping", "-n", "-D", "-i", "0.002", "-c", "1", "-w", "60", r.address(host))
	var out bytes.Buffer
	ping.Stdout = &out
	must(r, ping.Start())
	return func() time.Time {
		defer cancel()
		must(r, ping.Wait())
		var seconds, micros int64
		at := bytes.IndexByte(out.Bytes(), '[')
		if _, err := fmt.Sscanf(out.String()[at+1:], "%d.%d]", &seconds, &micros); at < 0 || err != nil {
			r.Fatalf("ping printed no time: %s", out.Bytes())
		}
		return time.Unix(seconds, micros*1000)
	}
}

// address is a host's, of version 4.
func (r *region) address(host string) string {
	r.Helper()
	out, _ := r.output("lab", "status")
	for line := range bytes.Lines(out) {
		if words := bytes.Fields(line); len(words) > 5 && string(words[2]) == host {
			return string(words[4])
		}
	}
	r.Fatal("the lab has no host ", host)
	return ""
}
