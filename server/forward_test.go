package server

import (
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// TestTryLastsAsLongAsItsCommandTakes to travel on a slow line.
func TestTryLastsAsLongAsItsCommandTakes(t *testing.T) {
	for size, least := range map[int]time.Duration{0: attemptTime, 5 << 20: attemptTime + 5*time.Second} {
		cmd := &pb.Command{Id: string(make([]byte, size))}
		if got := timeFor(cmd); got < least || got > least+time.Second {
			t.Errorf("%d bytes have %s, not %s", size, got, least)
		}
	}
}
