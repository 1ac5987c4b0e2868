package helper

import (
	"encoding/binary"
	"time"

	"squall/agent/host/bpf"
)

// The header that a TAP puts before a frame, as struct virtio_net_hdr has it.
const (
	headerSize = 10
	headLength = 2 // what of the frame is headers
	checkStart = 6 // where a checksum is to begin
)

// unstamp takes the stamp out from between a frame and its header, which it
// moves: the frame begins bpf.StampSize later. It returns when the frame was
// turned off. What is too short came by another way, and is not to be held.
func unstamp(b []byte) (at time.Duration, ok bool) {
	if len(b) < headerSize+bpf.StampSize {
		return 0, false
	}
	at = time.Duration(binary.NativeEndian.Uint64(b[headerSize:]))
	header := b[bpf.StampSize:][:headerSize]
	copy(header, b)
	for _, field := range []int{headLength, checkStart} {
		if n := binary.NativeEndian.Uint16(header[field:]); n >= bpf.StampSize {
			binary.NativeEndian.PutUint16(header[field:], n-bpf.StampSize)
		}
	}
	return at, true
}
