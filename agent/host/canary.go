package host

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"
)

// canaries is how many lookups show that lookups vanish.
const canaries = 4

// resolvConf names the host's own resolvers.
const resolvConf = "/etc/resolv.conf"

// sendNowhere sends one packet for each family that has a route, and tells how
// many were sent.
func sendNowhere() int {
	sent := 0
	for _, to := range nowhere {
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		if err != nil {
			continue
		}
		if _, err := c.Write([]byte("squall")); err == nil {
			sent++
		}
		c.Close()
	}
	return sent
}

// resolver is the first server of a resolv.conf, as address:port; empty where
// there is none.
func resolver(file string) string {
	c, err := dns.ClientConfigFromFile(file)
	if err != nil || len(c.Servers) == 0 {
		return ""
	}
	return net.JoinHostPort(c.Servers[0], c.Port)
}

// lookups asks for names that can't exist, at one time, and counts those that
// waited in vain. An error is an answer too: nothing has vanished.
func lookups(ctx context.Context, server string) int {
	var vanished atomic.Int32
	var all sync.WaitGroup
	for range canaries {
		all.Go(func() {
			if vanishes(ctx, server) {
				vanished.Add(1)
			}
		})
	}
	all.Wait()
	return int(vanished.Load())
}

// vanishes says that a lookup waited in vain. The exchange's own deadline alone
// ends the wait: a context with one would close the connection at the same
// moment, and a closed connection tells nothing about answers.
func vanishes(ctx context.Context, server string) bool {
	client := &dns.Client{Timeout: probeLimit}
	conn, err := client.DialContext(ctx, server)
	if err == nil {
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { conn.Close() })() // an exchange itself only minds deadlines
		m := new(dns.Msg).SetQuestion(fmt.Sprintf("squall-%x.invalid.", rand.Uint32()), dns.TypeA)
		_, _, err = client.ExchangeWithConnContext(ctx, m, conn)
	}
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
