package helper

import (
	"bytes"
	"testing"
	"time"
)

// hold puts a frame into the queue.
func hold(t *testing.T, q *queue, data []byte, due time.Duration) {
	t.Helper()
	room := q.room()
	if room == nil {
		t.Fatal("no room")
	}
	q.push(0, copy(room, data), due)
}

// TestFramesLeaveAsTheyCame: in order, unchanged, over chunk ends.
func TestFramesLeaveAsTheyCame(t *testing.T) {
	var q queue
	const n = 200
	frame := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 1+i*300) }
	for i := range n {
		hold(t, &q, frame(i), time.Duration(i))
	}
	for i := range n {
		f, data, ok := q.front()
		if !ok || f.due != time.Duration(i) || !bytes.Equal(data, frame(i)) {
			t.Fatalf("frame %d: due %v, %d bytes, %v", i, f.due, len(data), ok)
		}
		q.pop()
	}
	if _, _, ok := q.front(); ok {
		t.Error("a frame is left")
	}
}

// TestMemoryShrinksAgain: what a burst took is given back.
func TestMemoryShrinksAgain(t *testing.T) {
	var q queue
	big := make([]byte, 1<<16)
	for range 20 * chunkSize / len(big) {
		hold(t, &q, big, 0)
	}
	if len(q.full) < 15 {
		t.Fatalf("%d chunks for 20 MB", len(q.full))
	}
	for {
		if _, _, ok := q.front(); !ok {
			break
		}
		q.pop()
	}
	if kept := len(q.full) + len(q.spare); kept > keepChunks+1 {
		t.Errorf("%d chunks kept", kept)
	}
}

// TestQueueIsBounded: the last frame before the limit is held, the next has no room.
func TestQueueIsBounded(t *testing.T) {
	var q queue
	held := 0
	for q.room() != nil {
		q.push(0, frameSpace, 0)
		held++
	}
	if held != maxChunks*(chunkSize/frameSpace) {
		t.Errorf("%d frames held", held)
	}
	q.pop()
	if q.room() != nil {
		t.Error("room before a chunk is empty")
	}
	for len(q.full) == maxChunks {
		q.pop()
	}
	if q.room() == nil {
		t.Error("no room after a chunk is empty")
	}
	for _, ok := q.frontOK(); ok; _, ok = q.frontOK() {
		q.pop()
	}
}

// frontOK is front without the frame.
func (q *queue) frontOK() ([]byte, bool) {
	_, data, ok := q.front()
	return data, ok
}

// FuzzReadOrder: no order breaks the helper.
func FuzzReadOrder(f *testing.F) {
	f.Add([]byte(`{"Op":"CgNydW4=","BootOffset":0}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, op, err := readOrder(b)
		if (op == nil) == (err == nil) {
			t.Errorf("order %v, error %v", op, err)
		}
	})
}

// TestHelperRefusesWhatItDoesNotKnow.
func TestHelperRefusesWhatItDoesNotKnow(t *testing.T) {
	var out, log bytes.Buffer
	if code := Main([]string{"tea"}, &bytes.Buffer{}, &out, &log); code != 2 || log.Len() == 0 {
		t.Errorf("code %d, log %q", code, log.String())
	}
	if code := Main([]string{"delay-line"}, &bytes.Buffer{}, &out, &log); code != 1 {
		t.Errorf("without an order: code %d", code)
	}
}
