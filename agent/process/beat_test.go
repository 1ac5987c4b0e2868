package process

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	pb "squall/proto/squall/v1"
)

func TestBeatTravels(t *testing.T) {
	want := &pb.Beat{Seq: 7, BootNanos: 1 << 40, LeaseNanos: 2e9, EchoBootNanos: 5, Ready: true, DeadlineBootNanos: 9}
	var pipe bytes.Buffer
	if err := writeBeat(&pipe, want); err != nil {
		t.Fatal(err)
	}
	got, err := readBeat(&pipe)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if _, err := readBeat(&pipe); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v, want io.EOF", err)
	}
}

// FuzzBeat feeds the decoder what a broken process might write.
func FuzzBeat(f *testing.F) {
	var pipe bytes.Buffer
	_ = writeBeat(&pipe, &pb.Beat{Seq: 1, BootNanos: 2})
	f.Add(pipe.Bytes())
	f.Add([]byte{0xff, 0xff, 0})
	f.Add([]byte{0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		for {
			before := r.Len()
			b, err := readBeat(r)
			if err != nil {
				return
			}
			if used := before - r.Len(); used < 2 || used > maxBeat+2 {
				t.Fatalf("a beat took %d bytes", used)
			}
			if b == nil {
				t.Fatal("no beat and no error")
			}
		}
	})
}
