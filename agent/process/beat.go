package process

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

const (
	// busyPace is the worker's pace while anything is open, idlePace its pace while
	// nothing is: then a late answer harms nobody. The supervisor answers each beat.
	busyPace = 250 * time.Millisecond
	idlePace = time.Second
	// missed is how many beats one side may leave out before the other takes it
	// for dead.
	missed = 4
	// firstBeat is how long a worker may take to its first beat. It holds nothing by
	// then, and a machine that starts a hundred of them has other things to do.
	firstBeat = 10 * time.Second
	// maxStarved is the longest silence of one who wants a processor and gets none.
	// To start another in its place would take more of what is missing.
	maxStarved = firstBeat
	// maxBeat bounds a beat on the pipe, in bytes.
	maxBeat = 1 << 10
)

// attention measures how long the other side has said nothing. Time in which
// this side did not run itself (a starved machine, a stop) is not the other's
// silence: whoever wakes up late listens anew before it judges.
type attention struct{ heard, looked, pace time.Duration }

func listening(now, pace time.Duration) attention {
	return attention{heard: now, looked: now, pace: pace}
}

// hear notes a beat.
func (a *attention) hear(now time.Duration) { a.heard = now }

// follow listens anew where the pace is another one now.
func (a *attention) follow(now, pace time.Duration) {
	if pace != a.pace {
		*a = listening(now, pace)
	}
}

// next is when to look again: after a beat that comes in time.
func (a *attention) next() time.Duration { return a.pace * 3 / 2 }

// silent is how long the other side has been silent while this side listened.
// It is to be asked at each beat, and whenever next has passed without one.
func (a *attention) silent(now time.Duration) time.Duration {
	if asleep := now - a.looked - a.pace; asleep > a.pace {
		a.heard = min(now, a.heard+asleep)
	}
	a.looked = now
	return now - a.heard
}

// limit is the silence that is taken for death.
func (a *attention) limit() time.Duration { return missed * a.pace }

// Scheduled is somebody who needs a processor to answer.
type Scheduled interface {
	// Processor tells whether a thread of theirs has or wants a processor now,
	// and for how long all of them have had one.
	Processor() (wants bool, had time.Duration)
}

// starvation tells apart one who is silent because it gets no processor and one
// who hangs.
type starvation struct {
	since    time.Duration // of the first look without a beat; 0: it has beaten
	had      time.Duration // of a processor, at that look
	starving bool
}

// look looks at somebody of whom no beat has come in time.
func (h *starvation) look(now time.Duration, other Scheduled) {
	wants, had := other.Processor()
	if h.since == 0 {
		h.since, h.had = now, had
	}
	// One that is at work all the time and doesn't beat hangs.
	h.starving = wants && had-h.had <= (now-h.since)/2
}

// end notes a beat.
func (h *starvation) end() { *h = starvation{} }

// limit is the silence that is taken for death, where usual is for one that has
// what it needs.
func (h *starvation) limit(usual time.Duration) time.Duration {
	if h.starving {
		return max(usual, maxStarved)
	}
	return usual
}

// paceOf is the pace that a worker keeps to by its own word, within bounds: a
// broken one must not talk its supervisor into waiting for ever.
func paceOf(b *pb.Beat) time.Duration {
	return min(max(time.Duration(b.GetPaceNanos()), busyPace), idlePace)
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

// maxReason bounds why a worker can't start, in bytes.
const maxReason = maxBeat / 2

// Fail tells the supervisor on a worker's pipe why it can't start.
func Fail(pipe io.Writer, why error) error {
	text := strings.ToValidUTF8(why.Error(), "\uFFFD")
	return writeBeat(pipe, &pb.Beat{Failed: strings.ToValidUTF8(text[:min(len(text), maxReason)], "")})
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
		for whole := bufio.NewReaderSize(r, maxBeat); ; {
			b, err := readBeat(whole)
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
