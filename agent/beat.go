package agent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

const (
	// beatEvery is the worker's pace; the supervisor answers each beat.
	beatEvery = 250 * time.Millisecond
	// silence is how long one side may say nothing before the other takes it
	// for dead.
	silence = time.Second
	// maxBeat bounds a beat on the pipe, in bytes.
	maxBeat = 1 << 10
)

// attention measures how long the other side has said nothing. Time in which
// this side did not run itself (a starved machine, a stop) is not the other's
// silence: whoever wakes up late listens anew before it judges.
type attention struct{ heard, looked time.Duration }

func listening(now time.Duration) attention { return attention{heard: now, looked: now} }

// hear notes a beat.
func (a *attention) hear(now time.Duration) { a.heard = now }

// silent is how long the other side has been silent while this side listened.
// It is to be asked every beatEvery.
func (a *attention) silent(now time.Duration) time.Duration {
	if asleep := now - a.looked - beatEvery; asleep > beatEvery {
		a.heard = min(now, a.heard+asleep)
	}
	a.looked = now
	return now - a.heard
}

// errBeatSize is a length that no beat has.
var errBeatSize = errors.New("beat is too long")

// writeBeat writes one beat: its length in two bytes, then the message.
func writeBeat(w io.Writer, b *pb.Beat) error {
	frame := binary.BigEndian.AppendUint16(nil, 0)
	frame, err := proto.MarshalOptions{}.MarshalAppend(frame, b)
	if err != nil {
		return fmt.Errorf("encode beat: %w", err)
	}
	binary.BigEndian.PutUint16(frame, uint16(len(frame)-2))
	if _, err := w.Write(frame); err != nil {
		return fmt.Errorf("write beat: %w", err)
	}
	return nil
}

// readBeat reads one beat. At the end of the pipe it gives io.EOF.
func readBeat(r io.Reader) (*pb.Beat, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint16(head[:])
	if size > maxBeat {
		return nil, fmt.Errorf("read beat of %d bytes: %w", size, errBeatSize)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("read beat: %w", err)
	}
	b := new(pb.Beat)
	if err := proto.Unmarshal(body, b); err != nil {
		return nil, fmt.Errorf("decode beat: %w", err)
	}
	return b, nil
}

// beats reads until the pipe ends, and closes the channel then. The reader of
// the channel must drain it, or close stop.
func beats(r io.Reader, stop <-chan struct{}) <-chan *pb.Beat {
	in := make(chan *pb.Beat)
	go func() {
		defer close(in)
		for {
			b, err := readBeat(r)
			if err != nil {
				return
			}
			select {
			case in <- b:
			case <-stop:
				return
			}
		}
	}()
	return in
}
