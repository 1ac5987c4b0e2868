package archive

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"

	"google.golang.org/protobuf/proto"

	"squall/proto/canon"
	pb "squall/proto/squall/v1"
)

// Record is a finished run as it is to be kept.
type Record struct {
	// Run is the run with all that belongs to it. It is not changed.
	Run *pb.Run
	// Summary is its line in lists.
	Summary *pb.RunSummary
	// Windows are its windows, in an order that is the same on every server.
	Windows iter.Seq[*pb.Window]
	// Lacks says what the record should have and does not; empty for nothing.
	Lacks string
}

// Put writes a run into the archive, durably, and returns its entry. The same
// record gives the same bytes, and the same digest, on every server. Put again,
// it changes nothing; another record of the same run is refused (ErrDiffers).
// When the disk is full nothing is left of the try.
func (a *Archive) Put(r Record) (Entry, error) {
	e, err := a.take(&a.put, func(w io.Writer) (Entry, error) { return write(w, r) })
	if err != nil {
		return Entry{}, fmt.Errorf("archive run %q: %w", r.Run.GetId(), err)
	}
	return e, nil
}

// Take writes the file of another server's archive, of a known size, into this
// one. It reads no more than that. Errors: ErrDamaged where it is not the run with
// that digest, ErrDiffers as of Put.
func (a *Archive) Take(run string, digest []byte, size int64, from io.Reader) (Entry, error) {
	e, err := a.take(&a.taken, func(w io.Writer) (Entry, error) {
		if n, err := io.Copy(w, io.LimitReader(from, min(size, mostFile)+1)); err != nil {
			return Entry{}, err
		} else if n != size {
			return Entry{}, fmt.Errorf("%w: it has not %d bytes, but %d or more", ErrDamaged, size, n)
		}
		return Entry{Digest: digest}, nil
	})
	if err == nil && e.Run() != run {
		err = errors.Join(fmt.Errorf("%w: it is run %q", ErrDamaged, e.Run()), a.Remove(e.Run()))
	}
	if err != nil {
		return Entry{}, fmt.Errorf("take run %q: %w", run, err)
	}
	return e, nil
}

// take writes a file beside its place, makes sure of it, and moves it there.
func (a *Archive) take(s *slot, fill func(io.Writer) (Entry, error)) (Entry, error) {
	s.Lock()
	defer s.Unlock()
	want, err := a.writeBeside(s.file, fill)
	if err != nil {
		return Entry{}, errors.Join(err, a.discard(s.file))
	}
	e, err := readWhole(a.path(s.file))
	if err == nil && !bytes.Equal(e.Digest, want.Digest) {
		err = fmt.Errorf("%w: its digest is %s, not %s", ErrDamaged, short(e.Digest), short(want.Digest))
	}
	if err != nil {
		return Entry{}, errors.Join(err, a.discard(s.file))
	}
	return a.place(s.file, e)
}

// place moves a whole file into its place, unless its run is kept already.
func (a *Archive) place(file string, e Entry) (Entry, error) {
	a.placing.Lock()
	defer a.placing.Unlock()
	e.File = fileOf(e.Seal)
	if known, err := a.Entry(e.Run()); err == nil {
		if !bytes.Equal(known.Digest, e.Digest) {
			err = fmt.Errorf("%w, with digest %s, not %s", ErrDiffers, short(known.Digest), short(e.Digest))
		}
		return known, errors.Join(err, a.discard(file))
	}
	return e, a.settle(file, e)
}

// writeBeside fills a new file and syncs it.
func (a *Archive) writeBeside(file string, fill func(io.Writer) (Entry, error)) (want Entry, err error) {
	f, err := a.disk.create(a.path(file))
	if err != nil {
		return Entry{}, onDisk(err)
	}
	w := bufio.NewWriterSize(toDisk{f}, 256<<10)
	if want, err = fill(w); err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = onDisk(f.Sync())
	}
	return want, errors.Join(err, f.Close())
}

// toDisk tells errors of the disk from those of what is written to it.
type toDisk struct{ w io.Writer }

func (d toDisk) Write(b []byte) (int, error) {
	n, err := d.w.Write(b)
	return n, onDisk(err)
}

func onDisk(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrDisk, err)
}

// settle moves a file into its place, and then it is kept.
func (a *Archive) settle(temporary string, e Entry) error {
	if err := a.disk.rename(a.path(temporary), a.path(e.File)); err != nil {
		return errors.Join(err, a.discard(temporary))
	}
	if err := a.disk.syncDir(a.dir); err != nil {
		return errors.Join(err, a.discard(e.File)) // nobody may rely on it
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.entries[e.Run()] = e
	delete(a.strangers, e.File)
	return nil
}

// discard removes a file of a try that came to nothing. What can't be removed
// now is swept at the next start, or written over by the next try.
func (a *Archive) discard(file string) error { return a.disk.remove(a.path(file)) }

// write writes a whole file, chunk by chunk.
func write(w io.Writer, r Record) (Entry, error) {
	s := &sealer{w: w, seal: &pb.Seal{
		Version: version, Summary: r.Summary, Title: r.Run.GetExperiment().GetTitle(), Lacks: r.Lacks,
		DoneUnixNanos: r.Run.GetEnteredUnixNanos()[uint32(pb.RunState_RUN_STATE_DONE)],
	}}
	s.write([]byte(head))
	s.run(r.Run)
	s.events(r.Run.GetEvents())
	s.windows(r.Windows)
	data, digest := closing(s.seal)
	if s.err == nil && len(data)-tail > mostSeal {
		s.err = fmt.Errorf("its seal has %d bytes, more than %d", len(data)-tail, mostSeal)
	}
	s.write(data)
	return Entry{Digest: digest}, s.err
}

// sealer writes chunks and notes them in the seal. It stops at the first error.
type sealer struct {
	w     io.Writer
	wrote int64
	seal  *pb.Seal
	err   error
}

func (s *sealer) write(b []byte) {
	if s.wrote += int64(len(b)); s.err == nil && s.wrote > mostFile {
		s.err = fmt.Errorf("it has more than %d bytes", int64(mostFile))
	}
	if s.err == nil {
		_, s.err = s.w.Write(b)
	}
}

func (s *sealer) chunk(kind pb.SealedChunkKind, count int, m proto.Message) {
	data := canon.Marshal(m)
	if s.err == nil && len(data) > mostChunk {
		s.err = fmt.Errorf("a part of it has %d bytes, more than %d", len(data), mostChunk)
	}
	sum := sha256.Sum256(data)
	s.seal.Chunks = append(s.seal.Chunks, &pb.SealedChunk{Kind: kind, Bytes: uint64(len(data)), Sha256: sum[:], Count: uint32(count)})
	s.write(data)
}

func (s *sealer) run(r *pb.Run) {
	bare := &pb.Run{}
	for fd, v := range r.ProtoReflect().Range {
		bare.ProtoReflect().Set(fd, v)
	}
	bare.Events = nil
	bare.ProtoReflect().SetUnknown(r.ProtoReflect().GetUnknown())
	s.chunk(pb.SealedChunkKind_SEALED_CHUNK_KIND_RUN, 1, bare)
}

func (s *sealer) events(all []*pb.Event) {
	s.seal.Events = uint64(len(all))
	for from := 0; from < len(all) && s.err == nil; from += eventsInChunk {
		part := all[from:min(from+eventsInChunk, len(all))]
		s.chunk(pb.SealedChunkKind_SEALED_CHUNK_KIND_EVENTS, len(part), &pb.SealedEvents{Events: part})
	}
}

func (s *sealer) windows(all iter.Seq[*pb.Window]) {
	part := &pb.SealedWindows{}
	flush := func() {
		if n := len(part.Windows); n > 0 {
			s.chunk(pb.SealedChunkKind_SEALED_CHUNK_KIND_WINDOWS, n, part)
			s.seal.Windows += uint64(n)
			part.Windows = part.Windows[:0]
		}
	}
	for w := range all {
		if s.err != nil {
			return
		}
		part.Windows = append(part.Windows, nameless(w))
		if len(part.Windows) == windowsInChunk {
			flush()
		}
	}
	flush()
}

// nameless is a window without its run, which the file has once.
func nameless(w *pb.Window) *pb.Window {
	return &pb.Window{
		Probe: w.GetProbe(), Zone: w.GetZone(), Second: w.GetSecond(), Hosts: w.GetHosts(), Count: w.GetCount(), Success: w.GetSuccess(),
		Latency: w.GetLatency(), HasValue: w.GetHasValue(), NewestUnixNanos: w.GetNewestUnixNanos(),
		FirstFailureUnixNanos: w.GetFirstFailureUnixNanos(), LastFailureUnixNanos: w.GetLastFailureUnixNanos(),
		Lowest: w.GetLowest(), Highest: w.GetHighest(),
	}
}
