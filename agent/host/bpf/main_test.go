package bpf_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"squall/agent/helper"
	"squall/agent/host/bpf"
	pb "squall/proto/squall/v1"
)

// TestMain lets the test binary be its own delay line, as the real one is, and
// the children that tests kill.
func TestMain(m *testing.M) {
	if len(os.Args) < 3 {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case "helper":
		os.Exit(helper.Main(os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
	case "holder":
		os.Exit(holder(os.Args[2]))
	case "workload":
		os.Exit(workload(os.Args[2]))
	}
	os.Exit(m.Run())
}

// holderLease is how far ahead a holder keeps its lease.
const holderLease = 200 * time.Millisecond

// holder holds a fault under a lease until it is killed.
func holder(kind string) int {
	k, err := bpf.Open()
	if err == nil {
		k.Renew(k.Boot() + holderLease)
		_, err = attachKind(k, kind)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("ready")
	for {
		k.Renew(k.Boot() + holderLease)
		time.Sleep(holderLease / 20)
	}
}

func attachKind(k *bpf.Kit, kind string) (bpf.Attachment, error) {
	g := &pb.Gate{EndBootNanos: int64(k.Boot() + time.Minute)}
	switch kind {
	case "silence":
		return k.Silence(&pb.Silence{Gate: g})
	case "dns":
		return k.DropDNS(&pb.DropDNS{Gate: g, SharePpm: 1e6})
	}
	return k.Delay(&pb.DelayLine{Gate: g, DelayNanos: int64(100 * time.Millisecond)})
}

// workload waits for a line, then answers on TCP port 8080 and keeps a
// connection to an address open, until it is killed.
func workload(dial string) int {
	in := bufio.NewReader(os.Stdin)
	_, _ = in.ReadString('\n')
	l, err := net.Listen("tcp", ":8080")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	c, err := net.Dial("tcp", dial)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer c.Close()
	fmt.Println("ready")
	for {
		s, err := l.Accept()
		if err != nil {
			return 1
		}
		_, _ = s.Write([]byte("hello"))
		defer s.Close()
	}
}
