package undo

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	pb "squall/proto/squall/v1"
)

// slot is one of the journal's two preallocated files. While one is in use the
// other waits to take the compacted records, so that neither an append nor a
// compaction ever asks the disk for room. The writer alone uses it.
type slot struct {
	disk Disk
	path string
	// file is nil where the slot could not be opened.
	file       File
	size       int
	generation uint64
	end        int
}

// content is what a slot holds.
type content struct {
	header
	records []*pb.Record
	// complete says that the slot was completed under its header.
	complete bool
	// blank says that nothing was ever written here.
	blank bool
	// lost is why the header is not known: what the slot holds may be missing.
	lost string
	// broken is what can't be read under a good header.
	broken string
	// worn says that one copy of the header can't be read.
	worn bool
}

// open opens the slot and writes it full of zeros when it is new: blocks that
// are written once are there for good, and later writes change no metadata. It
// says whether the file is new.
func (s *slot) open() (made bool, err error) {
	if s.file != nil {
		return false, nil
	}
	f, err := s.disk.Open(s.path)
	if err != nil {
		return false, fmt.Errorf("open journal: %w", err)
	}
	made, err = s.fill(f)
	if err != nil {
		return false, errors.Join(fmt.Errorf("preallocate journal %s: %w", s.path, err), f.Close())
	}
	s.file = f
	return made, nil
}

// fillPart is how much of a new slot is written at a time, in bytes. The kernel keeps
// in one piece of its memory what was written at once (ext4, since Linux 6.16), and
// goes through all of a piece at each later write to a part of it.
const fillPart = 16 << 10

func (s *slot) fill(f File) (bool, error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	if int(info.Size()) >= s.size {
		s.size = int(info.Size())
		return false, nil
	}
	zeros := make([]byte, fillPart)
	for at := int(info.Size()); at < s.size; at += fillPart {
		if _, err := f.WriteAt(zeros[:min(fillPart, s.size-at)], int64(at)); err != nil {
			return false, err
		}
	}
	return true, f.Sync()
}

// load reads the slot. Where a part of the file can't be read, it counts as
// zeros.
func (s *slot) load() content {
	b, unreadable := s.readAll()
	c := headersOf(b)
	switch {
	case c.complete:
		s.end = framesAt + c.takeFrames(b[framesAt:])
		if unreadable != nil && c.broken == "" {
			c.broken = unreadable.Error() // what was behind the end, nobody knows
		}
	case c.state == stateWriting && unreadable == nil:
		// A compaction that was cut: the other slot has everything.
	default:
		if unreadable != nil {
			c.lost = unreadable.Error()
		}
		c.salvage(b)
	}
	s.generation = c.generation
	return c
}

// headersOf reads both copies of the header and goes by the newer.
func headersOf(b []byte) content {
	one, okOne, badOne := decodeHeader(b)
	two, okTwo, badTwo := decodeHeader(b[headerGap:])
	c := content{header: one}
	if okTwo && (!okOne || two.newer(one)) {
		c.header = two
	}
	c.complete = c.state == stateComplete
	c.worn = okOne != okTwo
	c.blank = !okOne && !okTwo && !badOne && !badTwo
	if !okOne && !okTwo && !c.blank {
		c.lost = "neither header can be read"
	}
	return c
}

// takeFrames reads the frames under a good header, and returns where the log
// goes on.
func (c *content) takeFrames(b []byte) int {
	f := decodeFrames(b, c.generation)
	c.records = f.records
	switch {
	case f.gaps > 0:
		c.broken = "records in the middle can't be read"
	case len(f.records) < int(c.header.records):
		c.broken = fmt.Sprintf("%d records are there, not %d", len(f.records), c.header.records)
	case f.torn:
		c.broken = "the last record can't be read"
	}
	return f.end
}

// salvage takes what frames there are where the header is lost.
func (c *content) salvage(b []byte) {
	records, generation := salvage(b)
	if len(records) == 0 {
		return
	}
	if c.lost == "" {
		c.lost = "both headers are missing"
	}
	c.records, c.blank, c.generation = records, false, max(c.generation, generation)
}

// readAll reads the whole file, going on past what can't be read.
func (s *slot) readAll() ([]byte, error) {
	b := make([]byte, max(s.size, framesAt))
	if s.file == nil {
		return b, errors.New("it can't be opened")
	}
	_, err := s.file.ReadAt(b, 0)
	if err == nil || errors.Is(err, io.EOF) {
		return b, nil
	}
	clear(b)
	return b, s.readParts(b)
}

// readParts reads block by block. Where not one of the first can be read, the
// rest is not tried.
func (s *slot) readParts(b []byte) (first error) {
	const part, enough = headerGap, 16
	read := false
	for at := 0; at < len(b) && (read || at < enough*part); at += part {
		block := b[at:min(at+part, len(b))]
		if _, err := s.file.ReadAt(block, int64(at)); err != nil && !errors.Is(err, io.EOF) {
			clear(block)
			first = cmp.Or(first, fmt.Errorf("read at byte %d: %w", at, err))
			continue
		}
		read = true
	}
	return first
}

// room is how many bytes of frames still fit.
func (s *slot) room() int { return s.size - s.end - len(endMark) }

// append writes records and the end behind them in one write, and syncs. Where
// they don't fit, nothing is written.
func (s *slot) append(records []*pb.Record) error {
	b, err := appendFrames(nil, s.generation, records)
	if err != nil {
		return err
	}
	if len(b) > s.room() {
		return ErrFull
	}
	if err := s.write(append(b, endMark...), int64(s.end)); err != nil {
		return err
	}
	s.end += len(b)
	return nil
}

// rewrite fills the slot with records under a header of a new generation. That
// it is complete is said last: until then the other slot is the journal.
func (s *slot) rewrite(h header, records []*pb.Record) error {
	if _, err := s.open(); err != nil {
		return err
	}
	s.generation = h.generation // also where this fails: what it leaves is no part of the next
	b, err := appendFrames(nil, h.generation, records)
	if err != nil {
		return err
	}
	b = append(b, endMark...)
	if framesAt+len(b) > s.size {
		return ErrFull
	}
	h.state, h.records = stateWriting, uint32(len(records))
	if err := s.writeHeaders(h); err != nil {
		return err
	}
	if err := s.write(b, framesAt); err != nil {
		return err
	}
	h.state = stateComplete
	if err := s.writeHeaders(h); err != nil {
		return err
	}
	s.end = framesAt + len(b) - len(endMark)
	return nil
}

func (s *slot) writeHeaders(h header) error {
	b := h.encode()
	if _, err := s.file.WriteAt(b, headerGap); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return s.write(b, 0)
}

func (s *slot) write(b []byte, at int64) error {
	if _, err := s.file.WriteAt(b, at); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("sync journal: %w", err)
	}
	return nil
}

func (s *slot) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
