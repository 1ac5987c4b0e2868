package undo

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	pb "squall/proto/squall/v1"
)

// slot is one of the journal's two preallocated files. While one is in use the
// other waits to take the compacted records, so that neither an append nor a
// compaction ever asks the disk for room.
type slot struct {
	file       *os.File
	size       int
	generation uint64
	end        int
}

// openSlot opens a slot and writes it full of zeros when it is new: blocks that
// are written once are there for good, and later writes change no metadata.
func openSlot(path string, size int) (*slot, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	s := &slot{file: f, size: size}
	if err := s.fill(); err != nil {
		return nil, errors.Join(fmt.Errorf("preallocate journal %s: %w", path, err), f.Close())
	}
	return s, nil
}

func (s *slot) fill() error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	if int(info.Size()) >= s.size {
		s.size = int(info.Size())
		return nil
	}
	zeros := make([]byte, s.size-int(info.Size()))
	if _, err := s.file.WriteAt(zeros, info.Size()); err != nil {
		return err
	}
	return s.file.Sync()
}

// load reads the slot. It reports false where the slot was never completed.
func (s *slot) load() (records []*pb.Record, damaged, ok bool, err error) {
	b := make([]byte, s.size)
	if _, err := s.file.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, false, false, fmt.Errorf("read journal: %w", err)
	}
	s.generation, ok = decodeHeader(b)
	if !ok {
		return nil, headerDamaged(b), false, nil
	}
	records, end, damaged := decodeFrames(b[headerSize:], s.generation)
	s.end = headerSize + end
	return records, damaged, true, nil
}

// headerDamaged tells a header that can't be read from one that was never
// written.
func headerDamaged(b []byte) bool {
	for _, c := range b[:min(headerSize, len(b))] {
		if c != 0 {
			return true
		}
	}
	return false
}

// room is how many bytes of frames still fit.
func (s *slot) room() int { return s.size - s.end - len(endMark) }

// append writes a frame and the end behind it in one write, and syncs.
func (s *slot) append(r *pb.Record, sync func(*os.File) error) error {
	b, err := appendFrame(nil, s.generation, r)
	if err != nil {
		return err
	}
	if len(b) > s.room() {
		return ErrFull
	}
	if _, err := s.file.WriteAt(append(b, endMark...), int64(s.end)); err != nil {
		return fmt.Errorf("append to journal: %w", err)
	}
	if err := sync(s.file); err != nil {
		return fmt.Errorf("sync journal: %w", err)
	}
	s.end += len(b)
	return nil
}

// rewrite fills the slot with records under a new generation. The header goes
// last: until it is on disk the other slot is the journal.
func (s *slot) rewrite(generation uint64, records []*pb.Record, sync func(*os.File) error) error {
	var b []byte
	for _, r := range records {
		var err error
		if b, err = appendFrame(b, generation, r); err != nil {
			return err
		}
	}
	b = append(b, endMark...)
	if headerSize+len(b) > s.size {
		return ErrFull
	}
	if err := s.write(b, headerSize, sync); err != nil {
		return err
	}
	if err := s.write(encodeHeader(generation), 0, sync); err != nil {
		return err
	}
	s.generation, s.end = generation, headerSize+len(b)-len(endMark)
	return nil
}

func (s *slot) write(b []byte, at int64, sync func(*os.File) error) error {
	if _, err := s.file.WriteAt(b, at); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	if err := sync(s.file); err != nil {
		return fmt.Errorf("sync journal: %w", err)
	}
	return nil
}

// hasRoom tries to write n bytes beside the journal. A disk on which that fails
// takes no new fault, though the journal itself could.
func hasRoom(path string, n int) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("try the disk: %w", err)
	}
	_, err = f.Write(make([]byte, n))
	err = errors.Join(err, f.Close(), os.Remove(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: write beside the journal: %w", ErrFull, err)
	}
	return nil
}
