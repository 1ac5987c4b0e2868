package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"google.golang.org/protobuf/proto"

	"squall/proto/canon"
	pb "squall/proto/squall/v1"
)

const (
	// head begins a file and ending ends it; between the seal and that are its
	// length and its SHA-256.
	head    = "squall archive 1\n"
	ending  = "\nend of run\n"
	tail    = 4 + sha256.Size + len(ending)
	version = 1

	extension  = ".run"
	unfinished = ".writing-"

	// eventsInChunk and windowsInChunk are how many a chunk has at most: some 100 KiB.
	eventsInChunk  = 512
	windowsInChunk = 1024
	// mostSeal and mostChunk bound what is read at once, in bytes. A chunk is as
	// large at most as an answer about a run may be.
	mostSeal  = 2 << 20
	mostChunk = 256 << 20
	// mostFile is how large a file may be: all windows that runs under way may come
	// to, by their plans, are half of it.
	mostFile = 4 << 30
)

// fileOf is where a run belongs: files go by the age of their runs, and any id
// makes a name.
func fileOf(s *pb.Seal) string {
	sum := sha256.Sum256([]byte(s.GetSummary().GetId()))
	return fmt.Sprintf("%020d-%s%s", s.GetSummary().GetAdmittedIndex(), hex.EncodeToString(sum[:8]), extension)
}

// ours tells whether a name is one that fileOf makes.
func ours(file string) bool {
	name, ok := strings.CutSuffix(file, extension)
	return ok && len(name) == 20+1+16 && name[20] == '-' &&
		strings.Trim(name[:20], "0123456789") == "" && strings.Trim(name[21:], "0123456789abcdef") == ""
}

// closing are a seal's bytes with what follows them, and its digest.
func closing(s *pb.Seal) (data, digest []byte) {
	data = canon.Marshal(s)
	sum := sha256.Sum256(data)
	length := len(data)
	data = binary.BigEndian.AppendUint32(data, uint32(length))
	data = append(append(data, sum[:]...), ending...)
	return data, sum[:]
}

// readEntry reads what a file says of itself: its two ends.
func readEntry(path string) (Entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return Entry{}, fmt.Errorf("read file: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return Entry{}, fmt.Errorf("read file: %w", err)
	}
	e, err := readSeal(f, info.Size())
	e.File = info.Name()
	return e, err
}

// readSeal reads the seal of a file of a size, and holds the two against each other.
func readSeal(f io.ReaderAt, size int64) (Entry, error) {
	last := make([]byte, tail)
	if size < int64(len(head)+tail) {
		return Entry{}, fmt.Errorf("%w: %d bytes are too few for a run", ErrDamaged, size)
	}
	if err := readAt(f, last, size-int64(tail)); err != nil {
		return Entry{}, err
	}
	if string(last[tail-len(ending):]) != ending {
		return Entry{}, fmt.Errorf("%w: it does not end as a run does", ErrDamaged)
	}
	length, digest := int64(binary.BigEndian.Uint32(last)), last[4:4+sha256.Size]
	if length > min(mostSeal, size-int64(len(head)+tail)) {
		return Entry{}, fmt.Errorf("%w: a seal of %d bytes does not fit", ErrDamaged, length)
	}
	data, begin := make([]byte, length), make([]byte, len(head))
	if err := readAt(f, data, size-int64(tail)-length); err != nil {
		return Entry{}, err
	}
	if err := readAt(f, begin, 0); err != nil {
		return Entry{}, err
	}
	if string(begin) != head {
		return Entry{}, fmt.Errorf("%w: it does not begin as a run does", ErrDamaged)
	}
	seal, err := decodeSeal(data, digest)
	if err != nil {
		return Entry{}, err
	}
	if want := int64(len(head)+tail) + length + chunkBytes(seal); want != size {
		return Entry{}, fmt.Errorf("%w: it has %d bytes, its seal says %d", ErrDamaged, size, want)
	}
	return Entry{Seal: seal, Digest: digest, Bytes: size}, nil
}

func decodeSeal(data, digest []byte) (*pb.Seal, error) {
	if sum := sha256.Sum256(data); !bytes.Equal(sum[:], digest) {
		return nil, fmt.Errorf("%w: the seal's digest is %s, not %s", ErrDamaged, short(sum[:]), short(digest))
	}
	s := &pb.Seal{}
	if err := proto.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("%w: decode seal: %w", ErrDamaged, err)
	}
	switch {
	case s.GetVersion() != version:
		return nil, fmt.Errorf("its format is %d, this build reads %d: upgrade this server", s.GetVersion(), version)
	case s.GetSummary().GetId() == "":
		return nil, fmt.Errorf("%w: it names no run", ErrDamaged)
	case len(s.GetChunks()) == 0 || s.GetChunks()[0].GetKind() != pb.SealedChunkKind_SEALED_CHUNK_KIND_RUN:
		return nil, fmt.Errorf("%w: it does not begin with the run itself", ErrDamaged)
	}
	for i, c := range s.GetChunks() {
		if c.GetBytes() > mostChunk || len(c.GetSha256()) != sha256.Size {
			return nil, fmt.Errorf("%w: chunk %d can't be one", ErrDamaged, i)
		}
		if i > 0 && c.GetKind() == pb.SealedChunkKind_SEALED_CHUNK_KIND_RUN {
			return nil, fmt.Errorf("%w: chunk %d is a second run", ErrDamaged, i)
		}
	}
	return s, nil
}

// chunkBytes is how long all chunks are together. Each is bounded, and so is
// their number by the seal's size: the sum stays far below 63 bits.
func chunkBytes(s *pb.Seal) (sum int64) {
	for _, c := range s.GetChunks() {
		sum += int64(c.GetBytes())
	}
	return sum
}

func readAt(f io.ReaderAt, b []byte, at int64) error {
	if _, err := f.ReadAt(b, at); err != nil {
		return fmt.Errorf("read %d bytes at %d: %w", len(b), at, err)
	}
	return nil
}

// readChunk is what a chunk of a file holds, checked.
func readChunk(f io.ReaderAt, c *pb.SealedChunk, at int64) (proto.Message, error) {
	data := make([]byte, c.GetBytes())
	if err := readAt(f, data, at); err != nil {
		return nil, err
	}
	m, err := openChunk(c, data)
	if err != nil {
		return nil, fmt.Errorf("the %d bytes at %d: %w", len(data), at, err)
	}
	return m, nil
}

// openChunk is what the bytes of a chunk hold, once they are those that were sealed.
func openChunk(c *pb.SealedChunk, data []byte) (proto.Message, error) {
	if sum := sha256.Sum256(data); !bytes.Equal(sum[:], c.GetSha256()) {
		return nil, fmt.Errorf("%w: they are not what was sealed", ErrDamaged)
	}
	return decodeChunk(c, data)
}
