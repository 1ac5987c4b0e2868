package archive

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"os"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// Run is a run of the archive as it was when it was put there, without its
// windows. Errors: ErrUnknown, ErrDamaged.
func (a *Archive) Run(id string) (*pb.Run, error) {
	r := &pb.Run{}
	if err := a.visit(id, bare, joinRun(&r)); err != nil {
		return nil, fmt.Errorf("read run %q: %w", id, err)
	}
	return r, nil
}

// Windows are the windows of a run, by probe, zone and second. An error ends
// them: ErrUnknown, ErrDamaged.
func (a *Archive) Windows(id string) iter.Seq2[*pb.Window, error] {
	return func(yield func(*pb.Window, error) bool) {
		if err := a.visit(id, isWindows, eachWindow(id, yield)); err != nil {
			yield(nil, fmt.Errorf("read windows of run %q: %w", id, err))
		}
	}
}

// has tells which chunks are wanted.
type has func(*pb.SealedChunk) bool

func all(*pb.SealedChunk) bool { return true }

func isWindows(c *pb.SealedChunk) bool {
	return c.GetKind() == pb.SealedChunkKind_SEALED_CHUNK_KIND_WINDOWS
}

func bare(c *pb.SealedChunk) bool { return !isWindows(c) }

// eachWindow hands on the windows of chunks, with their run.
func eachWindow(run string, yield func(*pb.Window, error) bool) func(proto.Message) bool {
	return func(m proto.Message) bool {
		for _, w := range m.(*pb.SealedWindows).GetWindows() {
			w.Run = run
			if !yield(w, nil) {
				return false
			}
		}
		return true
	}
}

// Verify reads a run whole and holds every byte against its seal. Errors:
// ErrUnknown, ErrDamaged; what is damaged is no run of the archive from then on.
func (a *Archive) Verify(id string) error {
	e, err := a.Entry(id)
	if err != nil {
		return err
	}
	again, err := readWhole(a.path(e.File))
	if err == nil && !bytes.Equal(again.Digest, e.Digest) {
		err = fmt.Errorf("%w: its digest is %s, and was %s", ErrDamaged, short(again.Digest), short(e.Digest))
	}
	if err != nil {
		return fmt.Errorf("verify run %q in %s: %w", id, e.File, a.accuse(e, err))
	}
	return nil
}

// Copy writes a run's file as it is, for another server to Take. Who takes it
// checks it.
func (a *Archive) Copy(id string, to io.Writer) error {
	return a.open(id, func(e Entry, f *os.File) error {
		_, err := io.Copy(to, f)
		return err
	})
}

// open has the file of a run read. One that is gone, or damaged, is no run of the
// archive from then on.
func (a *Archive) open(id string, read func(Entry, *os.File) error) error {
	e, err := a.Entry(id)
	if err != nil {
		return err
	}
	f, err := os.Open(a.path(e.File))
	if err != nil {
		return a.accuse(e, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	if err := read(e, f); err != nil {
		return a.accuse(e, fmt.Errorf("%s: %w", e.File, err))
	}
	return nil
}

// visit reads and checks the chunks of a run that are wanted. see returns false
// to end the visit.
func (a *Archive) visit(id string, want has, see func(proto.Message) bool) error {
	return a.open(id, func(e Entry, f *os.File) error { return visitChunks(f, e.Seal, want, see) })
}

func visitChunks(f io.ReaderAt, s *pb.Seal, want has, see func(proto.Message) bool) error {
	at := int64(len(head))
	for _, c := range s.GetChunks() {
		if want(c) {
			m, err := readChunk(f, c, at)
			if err != nil {
				return err
			}
			if !see(m) {
				return nil
			}
		}
		at += int64(c.GetBytes())
	}
	return nil
}

// decodeChunk is what a chunk's bytes are.
func decodeChunk(c *pb.SealedChunk, data []byte) (proto.Message, error) {
	var m proto.Message
	count := func() int { return 1 }
	switch c.GetKind() {
	case pb.SealedChunkKind_SEALED_CHUNK_KIND_RUN:
		m = &pb.Run{}
	case pb.SealedChunkKind_SEALED_CHUNK_KIND_EVENTS:
		events := &pb.SealedEvents{}
		m, count = events, func() int { return len(events.GetEvents()) }
	case pb.SealedChunkKind_SEALED_CHUNK_KIND_WINDOWS:
		windows := &pb.SealedWindows{}
		m, count = windows, func() int { return len(windows.GetWindows()) }
	default:
		return nil, fmt.Errorf("%w: a chunk is of kind %d", ErrDamaged, c.GetKind())
	}
	if err := proto.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("%w: decode chunk: %w", ErrDamaged, err)
	}
	if count() != int(c.GetCount()) {
		return nil, fmt.Errorf("%w: a chunk has %d entries, its seal says %d", ErrDamaged, count(), c.GetCount())
	}
	return m, nil
}

// readWhole reads and checks a file from its first byte to its last.
func readWhole(path string) (Entry, error) {
	e, err := readEntry(path)
	if err != nil {
		return Entry{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return Entry{}, err
	}
	defer func() { _ = f.Close() }() // it was only read
	return e, checkWhole(f, e.Seal)
}

// checkWhole holds all chunks of a file, and what they hold together, against the seal.
func checkWhole(f io.ReaderAt, s *pb.Seal) error {
	var run string
	var events, windows uint64
	err := visitChunks(f, s, all, func(m proto.Message) bool {
		switch m := m.(type) {
		case *pb.Run:
			run = m.GetId()
		case *pb.SealedEvents:
			events += uint64(len(m.GetEvents()))
		case *pb.SealedWindows:
			windows += uint64(len(m.GetWindows()))
		}
		return true
	})
	if err == nil && (run != s.GetSummary().GetId() || events != s.GetEvents() || windows != s.GetWindows()) {
		return fmt.Errorf("%w: run %q, %d events and %d windows are not what its seal says", ErrDamaged, run, events, windows)
	}
	return err
}

// joinRun puts a run and its events together.
func joinRun(r **pb.Run) func(proto.Message) bool {
	return func(m proto.Message) bool {
		switch m := m.(type) {
		case *pb.Run:
			*r = m
		case *pb.SealedEvents:
			(*r).Events = append((*r).Events, m.GetEvents()...)
		}
		return true
	}
}
