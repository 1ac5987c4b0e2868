package bpf_test

import (
	"bufio"
	"errors"
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
	case "ask":
		os.Exit(ask(os.Args[2] == "connected", os.Args[3]))
	case "offset":
		os.Exit(offset())
	case "stub":
		os.Exit(stub(os.Args[2]))
	}
	os.Exit(m.Run())
}

// holderLease is how far ahead a holder keeps its lease.
const holderLease = 200 * time.Millisecond

// holder holds a fault under a lease until it is killed.
func holder(kind string) int {
	var a bpf.Attachment
	loader, err := bpf.Open()
	if err == nil {
		a, err = attachKind(loader, kind)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	a.Renew(loader.Boot() + holderLease)
	fmt.Println("ready")
	for {
		a.Renew(loader.Boot() + holderLease)
		time.Sleep(holderLease / 20)
	}
}

func attachKind(loader *bpf.Loader, kind string) (bpf.Attachment, error) {
	g := &pb.Gate{EndBootNanos: int64(loader.Boot() + time.Minute)}
	switch kind {
	case "silence":
		return loader.Silence(g, &pb.Silence{}, nil)
	case "dns":
		return loader.DropDNS(g, &pb.DropDNS{SharePpm: 1e6})
	}
	return loader.Delay(g, &pb.DelayLine{DelayNanos: int64(100 * time.Millisecond)})
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
	defer func() { _ = c.Close() }()
	fmt.Println("ready")
	for {
		s, err := l.Accept()
		if err != nil {
			return 1
		}
		_, _ = s.Write([]byte("hello"))
		defer func() { _ = s.Close() }()
	}
}

// stub waits for a line, then forwards lookups from 127.0.0.53 to an address,
// each by a socket of its own.
func stub(upstream string) int {
	in := bufio.NewReader(os.Stdin)
	_, _ = in.ReadString('\n')
	c, err := net.ListenPacket("udp", "127.0.0.53:53")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("ready")
	for {
		buf := make([]byte, 1500)
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return 1
		}
		go forward(c, from, upstream, buf[:n])
	}
}

func forward(c net.PacketConn, from net.Addr, upstream string, query []byte) {
	up, err := net.Dial("udp", upstream)
	if err != nil {
		return
	}
	defer func() { _ = up.Close() }()
	_, _ = up.Write(query)
	_ = up.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 1500)
	if n, err := up.Read(buf); err == nil {
		_, _ = c.WriteTo(buf[:n], from)
	}
}

// ask sends a datagram by a socket that is connected or not, and says whether
// anything came back.
func ask(connected bool, to string) int {
	addr, err := net.ResolveUDPAddr("udp", to)
	if err != nil {
		return 1
	}
	query := []byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0, 1}
	c, err := net.ListenUDP("udp", nil)
	if connected {
		c, err = net.DialUDP("udp", nil, addr)
	}
	if err != nil {
		return 1
	}
	if connected {
		_, err = c.Write(query)
	} else {
		_, err = c.WriteTo(query, addr)
	}
	if err != nil {
		fmt.Println(err)
		return 0
	}
	_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	_, _, err = c.ReadFrom(make([]byte, 512))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		fmt.Println("timeout")
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println("ok")
	}
	return 0
}

// offset prints how far the kernel's boot time is from this process's.
func offset() int {
	loader, err := bpf.Open()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(loader.BootOffset().Round(time.Millisecond))
	return 0
}
