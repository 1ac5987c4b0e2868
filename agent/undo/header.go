package undo

import (
	"encoding/binary"
	"hash/crc32"
)

// A slot begins with two copies of its header, in disk blocks of their own:
//
//	magic 8 | generation 8 | state 4 | records 4 | other 8 | crc 4
//
// A compaction first says that it is writing the slot, and when all frames are
// on disk that it is complete. So a header that is neither is always damage.
const (
	magic      = "squallJ2"
	headerSize = 36
	headerCRC  = 32
	headerGap  = 4096
	framesAt   = 2 * headerGap
)

const (
	stateWriting  = 1
	stateComplete = 2
)

// header describes a slot.
type header struct {
	generation uint64
	state      uint32
	// records is how many the compaction wrote.
	records uint32
	// other is the generation of the other slot at that time; 0 where that had
	// never been written.
	other uint64
}

func (h header) encode() []byte {
	b := make([]byte, 0, headerSize)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint64(b, h.generation)
	b = binary.LittleEndian.AppendUint32(b, h.state)
	b = binary.LittleEndian.AppendUint32(b, h.records)
	b = binary.LittleEndian.AppendUint64(b, h.other)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeHeader reads one copy. It is not ok where there is none; bad says that
// something else stands there.
func decodeHeader(b []byte) (h header, ok, bad bool) {
	if len(b) < headerSize {
		return header{}, false, len(b) > 0
	}
	b = b[:headerSize]
	if string(b[:8]) != magic || binary.LittleEndian.Uint32(b[headerCRC:]) != crc32.Checksum(b[:headerCRC], castagnoli) {
		return header{}, false, !blank(b)
	}
	h = header{
		generation: binary.LittleEndian.Uint64(b[8:]), state: binary.LittleEndian.Uint32(b[16:]),
		records: binary.LittleEndian.Uint32(b[20:]), other: binary.LittleEndian.Uint64(b[24:]),
	}
	return h, true, false
}

// newer says that h was written after o.
func (h header) newer(o header) bool {
	if h.generation != o.generation {
		return h.generation > o.generation
	}
	return h.state > o.state
}

func blank(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
