package hosttest_test

import (
	"runtime"
	"testing"
	"time"

	"squall/agent/host/hosttest"
)

// A test that fails inside a namespace, by t.Fatal, ends; it does not hang.
func TestWhoEndsInsideANamespaceEndsOutside(t *testing.T) {
	ns := hosttest.NewNetNS(t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := ns.Do(func() error { runtime.Goexit(); return nil })
		t.Errorf("it went on: %v", err)
	}()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("it hangs")
	}
}
