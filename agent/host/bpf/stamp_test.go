package bpf

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"
)

// readFrame is a frame as it is read from a TAP.
func readFrame(at time.Duration, where uint32, frame []byte) []byte {
	b := make([]byte, headerSize, 128)
	b[0], b[1] = 1, 1
	binary.NativeEndian.PutUint16(b[headLength:], 54+stampSize)
	binary.NativeEndian.PutUint16(b[4:], 1448)
	binary.NativeEndian.PutUint16(b[checkStart:], 34+stampSize)
	binary.NativeEndian.PutUint16(b[8:], 16)
	b = binary.NativeEndian.AppendUint64(b, uint64(at))
	b = binary.NativeEndian.AppendUint32(b, where)
	return append(b, frame...)
}

// TestFrameIsTurned: it is as it was before, with two tags in it that say where
// to, and a header that fits it; also where the TAP has put its own tag first.
func TestFrameIsTurned(t *testing.T) {
	const macs, tag, rest = "to:tofr:from", "\x81\x00\x20\x07", "\x08\x00 and its data"
	for name, c := range map[string]struct {
		where     uint32
		was, left string
	}{
		"a frame":        {1<<31 | 70000, macs + rest, rest},
		"a tagged frame": {1<<30 | 7, tag + macs + rest, tag + rest},
	} {
		t.Run(name, func(t *testing.T) {
			read := readFrame(42*time.Second, c.where, []byte(c.was))
			at, start, ok := TurnFrame(read)
			if !ok || at != 42*time.Second {
				t.Fatalf("turned off at %v, %v", at, ok)
			}
			got := read[start:]
			if n := binary.NativeEndian.Uint16(got[headLength:]); n != 54+2*tagSize {
				t.Errorf("%d bytes of headers", n)
			}
			if n := binary.NativeEndian.Uint16(got[checkStart:]); n != 34+2*tagSize {
				t.Errorf("checksum from %d", n)
			}
			carriers := binary.BigEndian.AppendUint16(nil, 0x8100)
			carriers = binary.BigEndian.AppendUint16(carriers, uint16(c.where>>16))
			carriers = binary.BigEndian.AppendUint16(carriers, 0x8100)
			carriers = binary.BigEndian.AppendUint16(carriers, uint16(c.where))
			want := slices.Concat([]byte(macs), carriers, []byte(c.left))
			if !bytes.Equal(got[headerSize:], want) {
				t.Errorf("frame %q, want %q", got[headerSize:], want)
			}
		})
	}
}

// FuzzTurnFrame: whatever is read, what is left is no longer, and the same
// behind the addresses and tags.
func FuzzTurnFrame(f *testing.F) {
	f.Add(readFrame(time.Second, 3, []byte("to:tofr:from\x08\x00data")))
	f.Add(readFrame(time.Second, tagged|3, []byte("\x81\x00\x00\x07to:tofr:from\x08\x00data")))
	f.Add(make([]byte, headerSize+stampSize+addresses-1))
	f.Fuzz(func(t *testing.T, b []byte) {
		was := slices.Clone(b)
		_, start, ok := TurnFrame(b)
		if !ok {
			return
		}
		behind := headerSize + stampSize + addresses + tagSize
		if start < 0 || start > len(b) || (len(b) > behind && !bytes.Equal(b[behind:], was[behind:])) {
			t.Errorf("%q became %q from %d", was, b, start)
		}
	})
}
