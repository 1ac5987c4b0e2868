package undo

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// A frame is one record in a file:
//
//	marker 4 | length 4 | generation 8 | crc 4 | record
//
// The generation is that of the file when the frame was written, so that frames
// left over from an earlier use never pass for new ones, and so that frames can
// be told apart where the header is lost. The checksum covers length,
// generation and record. Eight zero bytes where a frame would begin end the log;
// each append writes them anew. They cover a length, too, so that a frame whose
// marker alone is gone does not pass for the end.
const (
	frameHead = 20
	crcAt     = 16
	marker    = "sqJR"
	maxRecord = 1 << 20
)

var endMark = make([]byte, 8)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendFrame appends a record's frame.
func appendFrame(b []byte, generation uint64, r *pb.Record) ([]byte, error) {
	body, err := proto.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	if len(body) > maxRecord {
		return nil, fmt.Errorf("encode record of %d bytes: %w", len(body), ErrFull)
	}
	head := append([]byte(nil), marker...)
	head = binary.LittleEndian.AppendUint32(head, uint32(len(body)))
	head = binary.LittleEndian.AppendUint64(head, generation)
	b = append(b, head...)
	b = binary.LittleEndian.AppendUint32(b, checksum(head, body))
	return append(b, body...), nil
}

// appendFrames appends a frame for each record.
func appendFrames(b []byte, generation uint64, records []*pb.Record) ([]byte, error) {
	for _, r := range records {
		var err error
		if b, err = appendFrame(b, generation, r); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func checksum(head, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(head[4:crcAt], castagnoli), castagnoli, body)
}

// frames is what was read from a run of bytes.
type frames struct {
	records []*pb.Record
	// end is where the log goes on.
	end int
	// gaps counts places that can't be read and have a whole frame behind them.
	gaps int
	// torn says that what stands at the end is neither a frame nor the end mark.
	torn bool
}

// decodeFrames reads every whole record of a generation and never stops at
// damage, because an undo behind it is worth more than order.
func decodeFrames(b []byte, generation uint64) frames {
	var f frames
	last := uint64(0)
	for at := 0; at >= 0; at = nextFrame(b, f.end, generation, last) {
		if at > f.end {
			f.gaps++
			f.end = at
		}
		for r, size := frameOf(b[f.end:], generation); r != nil; r, size = frameOf(b[f.end:], generation) {
			f.records = append(f.records, r)
			f.end += size
			last = max(last, r.GetSeq())
		}
	}
	f.torn = f.end+len(endMark) <= len(b) && !bytes.Equal(b[f.end:f.end+len(endMark)], endMark)
	return f
}

// nextFrame finds the next whole frame of a generation behind from that is
// younger than the records before it, or -1. An older one is left over from a
// write that failed and was made again.
func nextFrame(b []byte, from int, generation, last uint64) int {
	for at := from; ; at++ {
		i := bytes.Index(b[min(at, len(b)):], []byte(marker))
		if i < 0 {
			return -1
		}
		at += i
		if r, _ := frameOf(b[at:], generation); r != nil && r.GetSeq() > last {
			return at
		}
	}
}

// frameOf decodes a frame of one generation; nil where none begins.
func frameOf(b []byte, generation uint64) (*pb.Record, int) {
	r, of, size := decodeFrame(b)
	if of != generation {
		return nil, 0
	}
	return r, size
}

// decodeFrame returns nil where no whole frame begins.
func decodeFrame(b []byte) (r *pb.Record, generation uint64, size int) {
	if len(b) < frameHead || string(b[:4]) != marker {
		return nil, 0, 0
	}
	length := int(binary.LittleEndian.Uint32(b[4:]))
	if length > maxRecord || frameHead+length > len(b) {
		return nil, 0, 0
	}
	body := b[frameHead : frameHead+length]
	if binary.LittleEndian.Uint32(b[crcAt:]) != checksum(b[:crcAt], body) {
		return nil, 0, 0
	}
	r = new(pb.Record)
	if proto.Unmarshal(body, r) != nil {
		return nil, 0, 0
	}
	return r, binary.LittleEndian.Uint64(b[8:]), frameHead + length
}

// salvage reads every whole frame of the newest generation in a slot whose
// header is lost. Older ones are left over from earlier uses.
func salvage(b []byte) (records []*pb.Record, newest uint64) {
	for at := 0; ; {
		i := bytes.Index(b[at:], []byte(marker))
		if i < 0 {
			return records, newest
		}
		at += i
		r, generation, size := decodeFrame(b[at:])
		switch {
		case r == nil:
			at++
			continue
		case generation > newest:
			records, newest = nil, generation
		}
		if generation == newest {
			records = append(records, r)
		}
		at += size
	}
}
