package helper

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"squall/agent/host/bpf"
)

// TestStampIsTakenOut: what is left is the frame as it was before, with a
// header that fits it.
func TestStampIsTakenOut(t *testing.T) {
	const at, headers, check = 42 * time.Second, 54, 34
	read := make([]byte, headerSize, 128)
	read[0], read[1] = 1, 1
	binary.NativeEndian.PutUint16(read[headLength:], headers+bpf.StampSize)
	binary.NativeEndian.PutUint16(read[4:], 1448)
	binary.NativeEndian.PutUint16(read[checkStart:], check+bpf.StampSize)
	binary.NativeEndian.PutUint16(read[8:], 16)
	read = binary.NativeEndian.AppendUint64(read, uint64(at))
	read = append(read, "a frame"...)

	got, ok := unstamp(read)
	if !ok || got != at {
		t.Errorf("turned off at %v, %v", got, ok)
	}
	want := make([]byte, headerSize)
	want[0], want[1] = 1, 1
	binary.NativeEndian.PutUint16(want[headLength:], headers)
	binary.NativeEndian.PutUint16(want[4:], 1448)
	binary.NativeEndian.PutUint16(want[checkStart:], check)
	binary.NativeEndian.PutUint16(want[8:], 16)
	if left := read[bpf.StampSize:]; !bytes.Equal(left, append(want, "a frame"...)) {
		t.Errorf("left %q", left)
	}
}

// TestFrameWithoutStampIsNotHeld.
func TestFrameWithoutStampIsNotHeld(t *testing.T) {
	if _, ok := unstamp(make([]byte, headerSize+bpf.StampSize-1)); ok {
		t.Error("held")
	}
}
