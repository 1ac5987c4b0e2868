package bpf

import (
	"encoding/binary"
	"time"
)

// A frame lies in a delay line's TAP behind the header of struct virtio_net_hdr.
// As it is read, a stamp is between the two; as it is written, two VLAN tags
// behind the frame's addresses say where to. See delay.bpf.c for both.
const (
	headerSize = 10
	headLength = 2 // in the header: how much of the frame is headers
	checkStart = 6 // in the header: where a checksum is to begin
	stampAt    = 8
	stampSize  = stampAt + 4
	addresses  = 12 // of Ethernet, both
	tagSize    = 4
	outerTag   = 0x8100 // 802.1Q
	tagged     = 1 << 30
)

// TurnFrame makes of a frame that was read from a delay line's TAP what is to be
// written there, in place: from start on. It returns the boot time at which the
// frame was turned off. What is too short came by another way.
func TurnFrame(b []byte) (at time.Duration, start int, ok bool) {
	if len(b) < headerSize+stampSize+addresses {
		return 0, 0, false
	}
	at = time.Duration(binary.NativeEndian.Uint64(b[headerSize:]))
	where := binary.NativeEndian.Uint32(b[headerSize+stampAt:])
	rest := headerSize + stampSize + addresses // where the frame's own tags begin, or its type
	start = stampSize - 2*tagSize
	if where&tagged != 0 {
		if rest += tagSize; len(b) < rest {
			return 0, 0, false
		}
		// The tag is before the addresses, and goes behind them.
		var tag [tagSize]byte
		front := b[headerSize+stampSize : rest]
		copy(tag[:], front)
		copy(front, front[tagSize:])
		copy(front[addresses:], tag[:])
	}
	copy(b[start+headerSize:], b[headerSize+stampSize:][:addresses])
	carriers := b[start+headerSize+addresses:][:2*tagSize]
	binary.BigEndian.PutUint16(carriers, outerTag)
	binary.BigEndian.PutUint16(carriers[2:], uint16(where>>16))
	binary.BigEndian.PutUint16(carriers[4:], outerTag)
	binary.BigEndian.PutUint16(carriers[6:], uint16(where))
	moveHeader(b, start)
	return at, start, true
}

// moveHeader moves the header in front of a frame that begins by so much later,
// and with it what the header says of the frame.
func moveHeader(b []byte, by int) {
	header := b[by:][:headerSize]
	copy(header, b[:headerSize])
	for _, field := range []int{headLength, checkStart} {
		if n := binary.NativeEndian.Uint16(header[field:]); n >= stampSize {
			binary.NativeEndian.PutUint16(header[field:], n-uint16(by))
		}
	}
}
