package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/miekg/dns"

	pb "squall/proto/squall/v1"
)

// resolvConf holds the host's own resolver settings.
const resolvConf = "/etc/resolv.conf"

// lookUp asks for a record, over the server that the probe names or as the
// host's own settings say, and succeeds when it gets one of that type.
func lookUp(ctx context.Context, p *pb.DNSProbe) error {
	kind, ok := dns.StringToType[cmp.Or(p.GetType(), "A")]
	if !ok {
		return fmt.Errorf("record type %q is unknown", p.GetType())
	}
	if p.GetServer() != "" {
		return ask(ctx, withPort(p.GetServer()), dns.Fqdn(p.GetName()), kind)
	}
	settings, err := dns.ClientConfigFromFile(resolvConf)
	if err != nil {
		return fmt.Errorf("read resolver settings: %w", err)
	}
	return resolve(ctx, settings, p.GetName(), kind)
}

// resolve tries names and servers in the order of the settings, each server for
// as long as they say, as resolver libraries do.
func resolve(ctx context.Context, s *dns.ClientConfig, name string, kind uint16) error {
	err := errors.New("the resolver settings name no server")
	for range max(s.Attempts, 1) {
		for _, full := range s.NameList(name) {
			for _, server := range s.Servers {
				each, cancel := context.WithTimeout(ctx, time.Duration(max(s.Timeout, 1))*time.Second)
				err = ask(each, net.JoinHostPort(server, s.Port), full, kind)
				cancel()
				if err == nil || ctx.Err() != nil {
					return err
				}
			}
		}
	}
	return err
}

// ask sends one query, and again over TCP when the answer is cut short.
func ask(ctx context.Context, server, name string, kind uint16) error {
	query := new(dns.Msg).SetQuestion(name, kind)
	answer, err := exchange(ctx, "udp", query, server)
	if err == nil && answer.Truncated {
		answer, err = exchange(ctx, "tcp", query, server)
	}
	if err != nil {
		return fmt.Errorf("look up %s at %s: %w", name, server, err)
	}
	if answer.Rcode != dns.RcodeSuccess {
		return fmt.Errorf("look up %s at %s: %s", name, server, dns.RcodeToString[answer.Rcode])
	}
	for _, record := range answer.Answer {
		if record.Header().Rrtype == kind {
			return nil
		}
	}
	return fmt.Errorf("look up %s at %s: no record of type %s", name, server, dns.TypeToString[kind])
}

func exchange(ctx context.Context, network string, query *dns.Msg, server string) (*dns.Msg, error) {
	client := &dns.Client{Net: network}
	// The client heeds its own timeout, and of ctx only the deadline.
	if deadline, ok := ctx.Deadline(); ok {
		client.Timeout = time.Until(deadline)
	}
	answer, _, err := client.ExchangeContext(ctx, query, server)
	return answer, err
}

func withPort(server string) string {
	if _, _, err := net.SplitHostPort(server); err == nil {
		return server
	}
	return net.JoinHostPort(server, "53")
}
