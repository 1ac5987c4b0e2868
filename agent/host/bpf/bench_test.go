package bpf

import (
	"io"
	"maps"
	"net"
	"os/exec"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	pb "squall/proto/squall/v1"
)

// BenchmarkDNSOnAndOff is one DNS blackhole in and out again, on attached points.
func BenchmarkDNSOnAndOff(b *testing.B) {
	p, k := newPair(b), newKit(b)
	p.here.run(b, func() {
		must(b, k.Attach())
		var on, off time.Duration
		for b.Loop() {
			start := time.Now()
			a, err := k.DropDNS(&pb.DropDNS{Gate: now(k, time.Minute), SharePpm: wholePPM})
			must(b, err)
			mid := time.Now()
			must(b, a.Close())
			on, off = on+mid.Sub(start), off+time.Since(mid)
		}
		b.ReportMetric(float64(on.Microseconds())/float64(b.N), "us/on")
		b.ReportMetric(float64(off.Microseconds())/float64(b.N), "us/off")
	})
}

// BenchmarkDelayError is how much later than asked a datagram is answered, at
// 40 ms, against the median without a fault in the same run and at the same
// pace: a machine that slept since the last datagram is slower to answer.
func BenchmarkDelayError(b *testing.B) {
	const asked = 40 * time.Millisecond
	for name, measure := range map[string]func(testing.TB, *space, string, time.Duration, int) []time.Duration{
		"alone":  pacedTrips,
		"stream": streamed,
	} {
		b.Run(name, func(b *testing.B) {
			p, k := newPair(b), newKit(b)
			to := net.JoinHostPort(there4, echoPort)
			p.there.listenUDP(b, to)
			base := measure(b, p.here, to, asked, 200)
			attachIn(b, p.here, func() (Attachment, error) {
				return k.Delay(&pb.DelayLine{Gate: now(k, 10*time.Minute), DelayNanos: int64(asked)})
			})
			b.ResetTimer()
			took := measure(b, p.here, to, 0, b.N)
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
	faults := map[string]func(*Kit) (Attachment, error){
		"delay line": func(k *Kit) (Attachment, error) {
			return k.Delay(&pb.DelayLine{
				Gate: now(k, 10*time.Minute), DelayNanos: int64(40 * time.Millisecond),
				Direction: pb.Direction_DIRECTION_BOTH, Prefix: []string{"192.0.2.0/24"},
			})
		},
		"dns": func(k *Kit) (Attachment, error) {
			return k.DropDNS(&pb.DropDNS{Gate: now(k, 10*time.Minute), SharePpm: wholePPM})
		},
		"entries": func(k *Kit) (Attachment, error) { return idle{k}, k.Attach() },
	}
	for name, f := range faults {
		b.Run(name, func(b *testing.B) {
			p := newPair(b)
			sink := p.there.drain(b, there4+":5001")
			var ratios []float64
			for b.Loop() {
				base := p.here.pour(b, sink)
				k := newKit(b)
				var a Attachment
				p.here.run(b, func() {
					var err error
					a, err = f(k)
					must(b, err)
				})
				with := p.here.pour(b, sink)
				must(b, a.Close())
				ratios = append(ratios, with/base)
			}
			slices.Sort(ratios)
			for n, q := range map[string]float64{"%/q1": 0.25, "%/median": 0.5, "%/q3": 0.75} {
				b.ReportMetric(100*ratios[min(len(ratios)-1, int(q*float64(len(ratios))))], n)
			}
		})
	}
}

// idle is the entries alone, as an attachment.
type idle struct{ *Kit }

func (idle) Counters() (map[string]uint64, error) { return nil, nil }

func (i idle) Close() error {
	i.points.mu.Lock()
	defer i.points.mu.Unlock()
	err := i.points.fan.Close()
	i.points.fan = nil
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

// drain reads all that comes on a port, and returns its address.
func (s *space) drain(b *testing.B, addr string) string {
	b.Helper()
	s.run(b, func() {
		l, err := net.Listen("tcp", addr)
		must(b, err)
		b.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(io.Discard, c) }()
			}
		}()
	})
	return addr
}

// pour writes for a while and returns bytes a second.
func (s *space) pour(b *testing.B, to string) float64 {
	b.Helper()
	var rate float64
	s.run(b, func() {
		c, err := net.Dial("tcp", to)
		must(b, err)
		defer func() { _ = c.Close() }()
		buf, sent, start := make([]byte, 1<<17), 0, time.Now()
		for time.Since(start) < 250*time.Millisecond {
			n, err := c.Write(buf)
			must(b, err)
			sent += n
		}
		rate = float64(sent) / time.Since(start).Seconds()
	})
	return rate
}
