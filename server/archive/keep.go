package archive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// Limits are how much is kept. A field that is 0 sets no limit.
type Limits struct {
	// Age is how long a run is kept after it was done.
	Age time.Duration
	// Runs is how many are kept.
	Runs int
	// Bytes is how much they may take together.
	Bytes int64
}

// DefaultLimits keep a year of drills and what the year before is compared with.
var DefaultLimits = Limits{Age: 800 * 24 * time.Hour, Runs: 10_000, Bytes: 20 << 30}

// Kept is what limits ask of a run.
type Kept struct {
	Done  time.Time
	Bytes int64
}

// Over is how many of some runs, oldest first, limits leave no room for at an instant.
func Over(all []Kept, now time.Time, l Limits) (over int) {
	bytes := int64(0)
	for _, k := range all {
		bytes += k.Bytes
	}
	for _, k := range all {
		late := l.Age > 0 && now.Sub(k.Done) > l.Age
		many := l.Runs > 0 && len(all)-over > l.Runs
		large := l.Bytes > 0 && bytes > l.Bytes
		if !late && !many && !large {
			break
		}
		bytes -= k.Bytes
		over++
	}
	return over
}

// over are the runs that limits leave no room for at an instant, oldest first.
func (a *Archive) over(now time.Time, l Limits) []Entry {
	all := a.Entries()
	slices.SortStableFunc(all, func(x, y Entry) int { return x.Done().Compare(y.Done()) })
	kept := make([]Kept, len(all))
	for i, e := range all {
		kept[i] = Kept{e.Done(), e.Bytes}
	}
	return all[:Over(kept, now, l)]
}

// Prune removes the runs that limits leave no room for, oldest first, and
// returns those that are gone. It goes on past errors.
func (a *Archive) Prune(now time.Time, l Limits) (gone []Entry, err error) {
	for _, e := range a.over(now, l) {
		if failed := a.Remove(e.Run()); failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		gone = append(gone, e)
	}
	return gone, err
}

// Export writes a run as lines of JSON: its seal, the run, then each event and
// each window, as {"seal":…}, {"run":…}, {"event":…} and {"window":…}.
func (a *Archive) Export(id string, to io.Writer) error {
	e, err := a.Entry(id)
	if err != nil {
		return err
	}
	w := &lines{w: bufio.NewWriter(to)}
	w.write("seal", e.Seal)
	return w.end(id, a.visit(id, all, w.chunk))
}

// ExportRun reads what CopyRun of another archive writes, and writes the lines of
// Export that come before the windows, as it comes. Errors: ErrDamaged where it is
// not of the run with that digest.
func ExportRun(from io.Reader, digest []byte, to io.Writer) error {
	w := &lines{w: bufio.NewWriter(to)}
	s, err := decodePart(from, digest, bare, func(s *pb.Seal) func(proto.Message) bool {
		w.write("seal", s)
		return w.chunk
	})
	return w.end(s.GetSummary().GetId(), err)
}

// ExportWindows reads what CopyWindows of another archive writes, and writes the
// rest of the lines of Export. Errors: as of ExportRun.
func ExportWindows(from io.Reader, digest []byte, to io.Writer) error {
	w := &lines{w: bufio.NewWriter(to)}
	s, err := decodePart(from, digest, isWindows, func(*pb.Seal) func(proto.Message) bool { return w.chunk })
	return w.end(s.GetSummary().GetId(), err)
}

// lines writes one JSON object a line, until the first error.
type lines struct {
	w   *bufio.Writer
	err error
}

func (l *lines) write(name string, m proto.Message) {
	data, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if l.err = errors.Join(l.err, err); l.err == nil {
		_, l.err = fmt.Fprintf(l.w, "{%q:%s}\n", name, data)
	}
}

// chunk writes what a chunk holds. It returns false to end it.
func (l *lines) chunk(m proto.Message) bool {
	switch m := m.(type) {
	case *pb.Run:
		l.write("run", m)
	case *pb.SealedEvents:
		for _, e := range m.GetEvents() {
			l.write("event", e)
		}
	case *pb.SealedWindows:
		for _, window := range m.GetWindows() {
			l.write("window", window)
		}
	}
	return l.err == nil
}

// end hands on what has been written, and says what became of it all.
func (l *lines) end(run string, err error) error {
	if err := errors.Join(err, l.err, l.w.Flush()); err != nil {
		return fmt.Errorf("export run %q: %w", run, err)
	}
	return nil
}
