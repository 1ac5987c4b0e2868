package host

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"squall/agent/host/hosttest/lack"
)

// TestDoctorNamesWhoCouldSendPastASilence: a program with a packet socket, but
// not this one, whose delay line has one.
func TestDoctorNamesWhoCouldSendPastASilence(t *testing.T) {
	lack.OfRoot(t)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) // protocol 0: it hears nothing
	if err != nil {
		t.Fatal(err)
	}
	socket := os.NewFile(uintptr(fd), "packet")
	defer socket.Close()
	if detail, err := tryPackets(); strings.Contains(detail, "host.test") || err != nil && strings.Contains(err.Error(), "host.test") {
		t.Errorf("it names itself: %q, %v", detail, err)
	}
	cmd := exec.CommandContext(t.Context(), "sleep", "60")
	cmd.ExtraFiles = []*os.File{socket}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()         //nolint:errcheck // killed
	defer cmd.Process.Kill() //nolint:errcheck // likewise
	_, err = tryPackets()
	if err == nil || !strings.Contains(err.Error(), "sleep") || !strings.Contains(err.Error(), "PACKET_QDISC_BYPASS") {
		t.Errorf("it says %v", err)
	}
	if a := Try(t.Context(), "packet.sockets"); a.GetState().String() != "ABILITY_STATE_WARN" {
		t.Errorf("doctor says %v", a)
	}
}
