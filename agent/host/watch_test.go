package host

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	pb "squall/proto/squall/v1"
)

// A watch that ends though nobody has closed it is told of: what it held down
// comes alive from then on.
func TestWatchThatEndsByItselfIsADeath(t *testing.T) {
	r := &Real{}
	h := &held{host: r, op: &pb.Op{Gate: &pb.Gate{}}}
	w, err := r.newWatch(h, &pb.HoldDown{})
	if err != nil {
		t.Fatal(err)
	}
	w.start()
	if err := unix.Close(w.stop); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(w.made) }()
	select {
	case <-(&heldDown{held: h, watch: w}).died():
	case <-time.After(time.Minute):
		t.Error("nobody is told")
	}
}
