package host

import (
	"os"
	"testing"
)

// TestNumberOfAnotherProcessIsNotOpened: the one that was seen began at another time.
func TestNumberOfAnotherProcessIsNotOpened(t *testing.T) {
	seen, ok := processOf(os.Getpid())
	if !ok {
		t.Fatal("this process is not there")
	}
	p, err := openSeen(os.Getpid(), seen)
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	seen.started--
	if p, err := openSeen(os.Getpid(), seen); err == nil {
		p.Close()
		t.Error("a process that began later is taken for the one that was seen")
	}
}
