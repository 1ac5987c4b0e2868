package bpf

import (
	"maps"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	pb "squall/proto/squall/v1"
)

// BenchmarkDNSOnAndOff is one DNS blackhole in and out again, with the entries attached.
func BenchmarkDNSOnAndOff(b *testing.B) {
	p, loader := newPair(b), newLoader(b)
	p.here.run(b, func() {
		must(b, loader.Attach())
		var on, off time.Duration
		for b.Loop() {
			start := time.Now()
			a, err := loader.DropDNS(now(loader, time.Minute), &pb.DropDNS{SharePpm: wholePPM})
			must(b, err)
			mid := time.Now()
			must(b, a.Close())
			on, off = on+mid.Sub(start), off+time.Since(mid)
		}
		b.ReportMetric(float64(on.Microseconds())/float64(b.N), "us/on")
		b.ReportMetric(float64(off.Microseconds())/float64(b.N), "us/off")
	})
}

// BenchmarkDelayError is how much later than asked an answer comes, at 40 ms,
// against the median without a fault in the same run and at the same pace: a
// machine that slept since the last packet is slower to answer.
//
// A ping sees the packets alone. What a process sees that sleeps meanwhile, on
// either end, has the wake-ups of its processor on top.
func BenchmarkDelayError(b *testing.B) {
	const asked = 40 * time.Millisecond
	echo := net.JoinHostPort(there4, echoPort)
	for _, m := range []struct {
		name, to string
		measure  func(testing.TB, *space, string, time.Duration, int) []time.Duration
	}{
		{"ping", there4, pings},
		{"stream", echo, streamed},
		{"sleeper", echo, pacedTrips},
	} {
		b.Run(m.name, func(b *testing.B) {
			p, loader := newPair(b), newLoader(b)
			p.there.listenUDP(b, echo)
			base := m.measure(b, p.here, m.to, asked, 200)
			attachIn(b, p.here, func() (Attachment, error) {
				return loader.Delay(now(loader, 10*time.Minute), &pb.DelayLine{DelayNanos: int64(asked)})
			})
			b.ResetTimer()
			took := m.measure(b, p.here, m.to, 0, b.N)
			b.StopTimer()
			late := func(q float64) float64 { return micros(pick(took, q) - asked - pick(base, 0.5)) }
			b.ReportMetric(micros(pick(base, 0.5)), "us/base")
			b.ReportMetric(micros(pick(base, 0.99)), "us/base-p99")
			b.ReportMetric(late(0.5), "us/median")
			b.ReportMetric(late(0.99), "us/p99")
		})
	}
}

// BenchmarkDelayKilled is how many of the datagrams that are sent in the 100 ms
// after the kill of a delay line are lost or late, in all rounds.
func BenchmarkDelayKilled(b *testing.B) {
	var sent, late int
	for b.Loop() {
		n, l := afterKill(b, true)
		sent, late = sent+n, late+len(l)
	}
	b.ReportMetric(float64(late), "late")
	b.ReportMetric(float64(sent), "sent")
}

// streamed is about n round trips at a pace that no answer slows down.
func streamed(t testing.TB, s *space, to string, _ time.Duration, n int) []time.Duration {
	t.Helper()
	r := startStream(t, s, to)
	time.Sleep(time.Duration(n) * time.Millisecond / 2)
	r.stop(time.Now(), 0)
	return slices.Sorted(maps.Values(r.answered))
}

// BenchmarkOtherTraffic is the share of the link that traffic keeps which no
// fault is aimed at, in interleaved pairs: quartiles of the ratio.
func BenchmarkOtherTraffic(b *testing.B) {
	faults := map[string]func(*Loader) (Attachment, error){
		"delay line": func(loader *Loader) (Attachment, error) {
			return loader.Delay(now(loader, 10*time.Minute), &pb.DelayLine{
				DelayNanos: int64(40 * time.Millisecond),
				Direction:  pb.Direction_DIRECTION_BOTH, Prefix: []string{"192.0.2.0/24"},
			})
		},
		"dns": func(loader *Loader) (Attachment, error) {
			return loader.DropDNS(now(loader, 10*time.Minute), &pb.DropDNS{SharePpm: wholePPM})
		},
		"entries": func(loader *Loader) (Attachment, error) { return idle{loader: loader}, loader.Attach() },
	}
	for name, f := range faults {
		b.Run(name, func(b *testing.B) {
			p := newPair(b)
			sink := &unix.SockaddrInet4{Port: 5001, Addr: netip.MustParseAddr(there4).As4()}
			p.there.drain(b, sink)
			var ratios []float64
			with := func() float64 {
				loader := newLoader(b)
				var a Attachment
				p.here.run(b, func() {
					var err error
					a, err = f(loader)
					must(b, err)
				})
				rate := p.here.pour(b, sink)
				must(b, a.Close())
				return rate
			}
			for b.Loop() {
				// Either goes first in turn, so that a drift favours neither.
				if len(ratios)%2 == 0 {
					base := p.here.pour(b, sink)
					ratios = append(ratios, with()/base)
				} else {
					rate := with()
					ratios = append(ratios, rate/p.here.pour(b, sink))
				}
			}
			slices.Sort(ratios)
			for n, q := range map[string]float64{"%/q1": 0.25, "%/median": 0.5, "%/q3": 0.75} {
				b.ReportMetric(100*ratios[min(len(ratios)-1, int(q*float64(len(ratios))))], n)
			}
		})
	}
}

// idle is the entries alone, as an attachment.
type idle struct {
	Attachment
	loader *Loader
}

func (idle) Renew(time.Duration) {}

func (idle) Counters() (map[string]uint64, error) { return nil, nil }

func (i idle) Close() error {
	i.loader.dispatcher.mu.Lock()
	defer i.loader.dispatcher.mu.Unlock()
	err := i.loader.dispatcher.links.Close()
	i.loader.dispatcher.links = nil
	return err
}

// BenchmarkEnd is how long after the death, or the hang, of its holder a fault
// still acts: until the first packet is sent that passes. A holder keeps its
// lease 200 ms ahead. The baseline is the death itself.
func BenchmarkEnd(b *testing.B) {
	for _, kind := range []string{"silence", "dns", "delay"} {
		for name, signal := range map[string]unix.Signal{"killed": unix.SIGKILL, "hung": unix.SIGSTOP} {
			b.Run(kind+"/"+name, func(b *testing.B) {
				p := newPair(b)
				port := "7007"
				if kind == "dns" {
					port = "53"
				}
				to := net.JoinHostPort(there4, port)
				p.there.listenUDP(b, to)
				var took, death []time.Duration
				for b.Loop() {
					if t := endAfter(b, p.here, to, kind, false, signal); t >= 0 {
						took = append(took, t)
					}
					death = append(death, ownExit(b))
				}
				slices.Sort(took)
				slices.Sort(death)
				b.ReportMetric(micros(pick(death, 0.5)), "us/base")
				b.ReportMetric(micros(pick(took, 0.5)), "us/median")
				b.ReportMetric(micros(pick(took, 0.99)), "us/p99")
			})
		}
	}
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// ownExit is how long a process takes to be dead after a kill.
func ownExit(b *testing.B) time.Duration {
	b.Helper()
	cmd := exec.Command("sleep", "60")
	must(b, cmd.Start())
	began := time.Now()
	must(b, cmd.Process.Kill())
	_ = cmd.Wait()
	return time.Since(began)
}

// drain reads all that comes on a port, on a processor of its own.
func (s *space) drain(b *testing.B, to *unix.SockaddrInet4) {
	b.Helper()
	s.run(b, func() {
		l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		must(b, err)
		must(b, unix.Bind(l, to))
		must(b, unix.Listen(l, 1))
		b.Cleanup(func() { _ = unix.Shutdown(l, unix.SHUT_RDWR); _ = unix.Close(l) })
		go pinned(1, func() {
			buf := make([]byte, 1<<17)
			for {
				c, _, err := unix.Accept(l)
				if err != nil {
					return
				}
				for n := 1; n > 0; n, _ = unix.Read(c, buf) {
				}
				_ = unix.Close(c)
			}
		})
	})
}

// pour writes for a while and returns bytes a second.
func (s *space) pour(b *testing.B, to *unix.SockaddrInet4) (rate float64) {
	b.Helper()
	s.run(b, func() {
		pinned(0, func() {
			c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			must(b, err)
			defer func() { _ = unix.Close(c) }()
			must(b, unix.Connect(c, to))
			buf, sent, start := make([]byte, 1<<17), 0, time.Now()
			for time.Since(start) < 150*time.Millisecond {
				n, err := unix.Write(c, buf)
				must(b, err)
				sent += n
			}
			rate = float64(sent) / time.Since(start).Seconds()
		})
	})
	return rate
}

// pinned runs f on one processor: where the two ends of a stream meet decides
// how fast it is, more than anything that lies between them.
func pinned(processor int, f func()) {
	runtime.LockOSThread() // and never let go: the thread ends with its goroutine
	var set unix.CPUSet
	set.Set(processor % runtime.NumCPU())
	_ = unix.SchedSetaffinity(0, &set)
	f()
}
