package server

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
	"squall/server/archive"
	"squall/server/report"
	"squall/server/state"
)

// BenchmarkThousandRunsOfAMillionWindows has a server's folder with 1,000 finished
// runs of 1,000 windows each and the state that knows them, the newest 100 whole:
// how long a start takes, the list, and the report of the oldest.
func BenchmarkThousandRunsOfAMillionWindows(b *testing.B) {
	dir := b.TempDir()
	full, err := archive.Open(filepath.Join(dir, "archive"))
	if err != nil {
		b.Fatal(err)
	}
	s := &pb.State{Rules: state.Rules, Archived: map[string]*pb.Archived{}, Runs: map[string]*pb.Run{}}
	for n := range 1000 {
		rec := finishedRun(fmt.Sprintf("dark-%04d", n))
		rec.Run.AdmittedIndex, rec.Summary.AdmittedIndex = uint64(n), uint64(n)
		for i := range 200 {
			rec.Run.Events = append(rec.Run.Events, &pb.Event{Index: uint64(i), Text: "a line of its story, as long as they are"})
		}
		rec.Windows = func(yield func(*pb.Window) bool) {
			for i := range int64(1000) {
				if !yield(&pb.Window{Probe: "shop", Second: i, Count: 30, Success: 30, Hosts: []byte{7}, Latency: &pb.Histogram{Index: []uint32{90, 91, 92}, Count: []uint64{9, 9, 9}, Max: 1e7}}) {
					return
				}
			}
		}
		e, err := full.Put(rec)
		if err != nil {
			b.Fatal(err)
		}
		s.Archived[e.Run()] = &pb.Archived{Summary: rec.Summary, Digest: e.Digest, Bytes: uint64(e.Bytes), Windows: 1000, Servers: []string{"a", "b", "c"}, Released: true}
		if n >= 900 {
			s.Runs[e.Run()] = rec.Run
		}
	}
	snapshot, err := proto.Marshal(s)
	if err != nil {
		b.Fatal(err)
	}
	full, s = nil, nil
	for b.Loop() {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		m, kept := state.New(), &pb.State{}
		if err := proto.Unmarshal(snapshot, kept); err != nil {
			b.Fatal(err)
		}
		if err := m.Restore(kept); err != nil {
			b.Fatal(err)
		}
		a, err := archive.Open(filepath.Join(dir, "archive"))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "start-ms")
		began = time.Now()
		if n := len(report.Runs(m.View())); n != 1000 {
			b.Fatalf("%d runs are listed", n)
		}
		b.ReportMetric(float64(time.Since(began).Microseconds())/1e3, "list-ms")
		began = time.Now()
		k := &keeper{archive: a, log: slog.New(slog.DiscardHandler)}
		run, err := k.find(context.Background(), m.View(), "dark-0000")
		if err != nil {
			b.Fatal(err)
		}
		report.Of(m.View(), run)
		b.ReportMetric(float64(time.Since(began).Microseconds())/1e3, "report-ms")
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
		b.ReportMetric(float64(len(snapshot))/(1<<20), "snapshot-MiB")
		runtime.KeepAlive(m)
		runtime.KeepAlive(a)
	}
}
