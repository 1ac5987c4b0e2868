package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// A part of a file is what another server tells of a run without keeping it: the
// seal's length in four bytes, the highest first, the seal, and some of the
// chunks as they stand in the file. The seal comes first, so that each chunk is
// checked when it comes and none has to be kept.

// CopyRun writes the part of a file without windows, for another server's Decode,
// which checks it. Errors: ErrUnknown, ErrDamaged.
func (a *Archive) CopyRun(id string, to io.Writer) error { return a.copyPart(id, bare, to) }

// CopyWindows writes the part of a file that is windows, for another server's
// DecodeWindows, which checks it. Errors: ErrUnknown, ErrDamaged.
func (a *Archive) CopyWindows(id string, to io.Writer) error { return a.copyPart(id, isWindows, to) }

func (a *Archive) copyPart(id string, want has, to io.Writer) error {
	return a.open(id, func(e Entry, f *os.File) error {
		at := int64(len(head)) + chunkBytes(e.Seal)
		length := e.Bytes - int64(tail) - at
		if _, err := to.Write(binary.BigEndian.AppendUint32(nil, uint32(length))); err != nil {
			return err
		}
		if _, err := io.Copy(to, io.NewSectionReader(f, at, length)); err != nil {
			return err
		}
		at = int64(len(head))
		for _, c := range e.Seal.GetChunks() {
			if want(c) {
				if _, err := io.Copy(to, io.NewSectionReader(f, at, int64(c.GetBytes()))); err != nil {
					return err
				}
			}
			at += int64(c.GetBytes())
		}
		return nil
	})
}

// Decode reads what CopyRun of another archive writes, and returns the run in it,
// without its windows. Errors: ErrDamaged where it is not of the run with that
// digest.
func Decode(from io.Reader, digest []byte) (*pb.Run, error) {
	r := &pb.Run{}
	s, err := decodePart(from, digest, bare, func(*pb.Seal) func(proto.Message) bool { return joinRun(&r) })
	if err == nil && (r.GetId() != s.GetSummary().GetId() || uint64(len(r.GetEvents())) != s.GetEvents()) {
		err = fmt.Errorf("%w: run %q with %d events is not what its seal says", ErrDamaged, r.GetId(), len(r.GetEvents()))
	}
	if err != nil {
		return nil, fmt.Errorf("read run: %w", err)
	}
	return r, nil
}

// DecodeWindows reads what CopyWindows of another archive writes, as it comes: the
// windows of a run, by probe, zone and second. An error ends them: ErrDamaged
// where they are not of the run with that digest.
func DecodeWindows(from io.Reader, digest []byte) iter.Seq2[*pb.Window, error] {
	return func(yield func(*pb.Window, error) bool) {
		_, err := decodePart(from, digest, isWindows, func(s *pb.Seal) func(proto.Message) bool {
			return eachWindow(s.GetSummary().GetId(), yield)
		})
		if err != nil {
			yield(nil, fmt.Errorf("read windows: %w", err))
		}
	}
}

// decodePart has each chunk of a part seen, after its seal. What is seen returns
// false to end it.
func decodePart(from io.Reader, digest []byte, want has, see func(*pb.Seal) func(proto.Message) bool) (*pb.Seal, error) {
	s, err := readSealAhead(from, digest)
	if err != nil {
		return nil, err
	}
	each := see(s)
	for _, c := range s.GetChunks() {
		if !want(c) {
			continue
		}
		data, err := take(from, int(c.GetBytes())) // the seal is the one that is known: it tells no lies
		if err != nil {
			return nil, err
		}
		m, err := openChunk(c, data)
		if err != nil {
			return nil, err
		}
		if !each(m) {
			return s, nil
		}
	}
	return s, ended(from)
}

func ended(from io.Reader) error {
	switch _, err := io.ReadFull(from, make([]byte, 1)); {
	case err == nil:
		return fmt.Errorf("%w: it goes on after its end", ErrDamaged)
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

// readSealAhead reads a seal, which has to be the one with a digest.
func readSealAhead(from io.Reader, digest []byte) (*pb.Seal, error) {
	length, err := take(from, 4)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length)
	if n > mostSeal {
		return nil, fmt.Errorf("%w: a seal of %d bytes is none", ErrDamaged, n)
	}
	data, err := take(from, int(n))
	if err != nil {
		return nil, err
	}
	return decodeSeal(data, digest)
}

// take reads so many bytes.
func take(from io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	switch _, err := io.ReadFull(from, b); {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("%w: it ends too early", ErrDamaged)
	case err != nil:
		return nil, err
	}
	return b, nil
}
