package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// roleEnv names the program that the test binary plays on a host of the lab.
const roleEnv = "SQUALL_E2E_ROLE"

var roles = map[string]func([]string) int{
	"lookup": lookup, "send": send, "attached": attached, "raft": raft, "fetch": fetch, "redis-writer": playRedisWriter,
}

// lookup looks a name up with Go's own resolver and says what an application sees.
func lookup(args []string) int {
	began := time.Now()
	addresses, err := (&net.Resolver{PreferGo: true}).LookupHost(context.Background(), args[0])
	fmt.Printf("%v %v after %v\n", addresses, err, time.Since(began))
	return complaint(err)
}

// send sends datagrams to port 53 of an address, and says which error any of
// them met.
func send(args []string) int {
	conn, err := net.Dial("udp", args[0]+":53")
	if err != nil {
		fmt.Println(err)
		return complaint(err)
	}
	defer conn.Close()
	for range 50 {
		if _, err := conn.Write([]byte("is anybody there?")); err != nil {
			fmt.Println(err)
			return complaint(err)
		}
		time.Sleep(2 * time.Millisecond)
	}
	return 0
}

// fetch makes an HTTP request and prints the answer.
func fetch(args []string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, args[0], args[1], http.NoBody)
	if err != nil {
		fmt.Println(err)
		return failed
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Println(err)
		return failed
	}
	defer resp.Body.Close()
	if _, err := io.Copy(os.Stdout, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		fmt.Println(resp.Status, err)
		return failed
	}
	return answered
}

// The exit codes of lookup and send.
const (
	answered = 0
	failed   = 1
	timedOut = 2
	betrayed = 3
)

// complaint is 3 for what would tell an application that its own kernel drops.
func complaint(err error) int {
	var timeout net.Error
	switch {
	case err == nil:
		return answered
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.ENOBUFS):
		return betrayed
	case errors.As(err, &timeout) && timeout.Timeout():
		return timedOut
	}
	return failed
}

// attached lists what hangs on this host's interfaces: tcx programs, qdiscs
// and filters that are not the kernel's own, and links that squall makes.
func attached([]string) int {
	links, err := netlink.LinkList()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, l := range links {
		fmt.Println("link", l.Type(), l.Attrs().Name)
		for _, at := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
			if found, err := link.QueryPrograms(link.QueryOptions{Target: l.Attrs().Index, Attach: at}); err == nil {
				for _, p := range found.Programs {
					fmt.Println("program", l.Attrs().Name, at, p.ID)
				}
			}
		}
		qdiscs, _ := netlink.QdiscList(l)
		for _, q := range qdiscs {
			fmt.Println("qdisc", l.Attrs().Name, q.Type())
		}
	}
	return 0
}

// selfArgs are the words that make a host play a role of this binary.
func selfArgs(role string, args ...string) []string {
	return append([]string{"/usr/bin/env", roleEnv + "=" + role, self}, args...)
}
