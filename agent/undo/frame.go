package undo

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// A slot is one preallocated file:
//
//	header: magic 8 | generation 8 | crc 4, padded to headerSize
//	frames: marker 4 | length 4 | crc 4 | record
//
// A frame's checksum is salted with the generation of its slot, so that frames
// left over from an earlier use of the file never pass for new ones. Four zero
// bytes where a marker should stand end the log; each append writes them anew.
const (
	headerSize  = 64
	frameHead   = 12
	magic       = "squallJ1"
	marker      = "sqJR"
	maxRecord   = 1 << 20
	crcOfHeader = 16
)

var endMark = []byte{0, 0, 0, 0}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeHeader(generation uint64) []byte {
	b := make([]byte, headerSize)
	copy(b, magic)
	binary.LittleEndian.PutUint64(b[8:], generation)
	binary.LittleEndian.PutUint32(b[crcOfHeader:], crc32.Checksum(b[:crcOfHeader], castagnoli))
	return b
}

// decodeHeader reports false for a slot that was never completed.
func decodeHeader(b []byte) (generation uint64, ok bool) {
	if len(b) < headerSize || string(b[:8]) != magic {
		return 0, false
	}
	if binary.LittleEndian.Uint32(b[crcOfHeader:]) != crc32.Checksum(b[:crcOfHeader], castagnoli) {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b[8:]), true
}

func salted(generation uint64, body []byte) uint32 {
	var salt [8]byte
	binary.LittleEndian.PutUint64(salt[:], generation)
	return crc32.Update(crc32.Checksum(salt[:], castagnoli), castagnoli, body)
}

// appendFrame appends a record's frame.
func appendFrame(b []byte, generation uint64, r *pb.Record) ([]byte, error) {
	body, err := proto.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	if len(body) > maxRecord {
		return nil, fmt.Errorf("encode record of %d bytes: %w", len(body), ErrFull)
	}
	b = append(b, marker...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
	b = binary.LittleEndian.AppendUint32(b, salted(generation, body))
	return append(b, body...), nil
}

// decodeFrames reads every whole record of a generation and never stops at
// damage, because an undo behind it is worth more than order. The log goes on
// at end; damaged says that something before or at the end can't be read.
func decodeFrames(b []byte, generation uint64) (records []*pb.Record, end int, damaged bool) {
	for {
		r, size := decodeFrame(b[end:], generation)
		if r == nil {
			break
		}
		records = append(records, r)
		end += size
	}
	damaged = end+len(endMark) <= len(b) && !bytes.Equal(b[end:end+len(endMark)], endMark)
	for at := nextFrame(b, end, generation); at >= 0; at = nextFrame(b, end, generation) {
		rest, n, _ := decodeFrames(b[at:], generation)
		records, end, damaged = append(records, rest...), at+n, true
	}
	return records, end, damaged
}

// nextFrame finds the next whole frame at or after from, or -1.
func nextFrame(b []byte, from int, generation uint64) int {
	for at := from; ; at++ {
		i := bytes.Index(b[min(at, len(b)):], []byte(marker))
		if i < 0 {
			return -1
		}
		at += i
		if r, _ := decodeFrame(b[at:], generation); r != nil {
			return at
		}
	}
}

// decodeFrame returns nil where no whole frame of this generation begins.
func decodeFrame(b []byte, generation uint64) (*pb.Record, int) {
	if len(b) < frameHead || string(b[:4]) != marker {
		return nil, 0
	}
	length := int(binary.LittleEndian.Uint32(b[4:]))
	if length > maxRecord || frameHead+length > len(b) {
		return nil, 0
	}
	body := b[frameHead : frameHead+length]
	if binary.LittleEndian.Uint32(b[8:]) != salted(generation, body) {
		return nil, 0
	}
	r := new(pb.Record)
	if proto.Unmarshal(body, r) != nil {
		return nil, 0
	}
	return r, frameHead + length
}
