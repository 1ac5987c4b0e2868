package notify

import (
	"fmt"
	"net/url"
	"strings"
	"unicode"

	pb "squall/proto/squall/v1"
)

// means are what a sink is told with: where it is, and the values of its secrets,
// each empty where the sink names none.
type means struct {
	to                  *url.URL
	address, key, token string
}

// means are those of a sink, on this server. A secret that may not go to where
// the sink is, is not among them: an error is a *Failure, with no secret in it.
func (s Secrets) means(sink *pb.Sink) (m means, err error) {
	for _, f := range []struct {
		name string
		into *string
	}{{sink.GetUrlSecret(), &m.address}, {sink.GetSignSecret(), &m.key}, {sink.GetTokenSecret(), &m.token}} {
		if f.name == "" {
			continue
		}
		if *f.into, err = s.Find(f.name); err != nil {
			return means{}, &Failure{Why: err.Error(), Fix: fmt.Sprintf("give each server the secret: a file %s in its folder of secrets, or the variable %s", f.name, EnvOf(f.name))}
		}
	}
	if m.to, err = address(sink, m.address); err != nil {
		return means{}, err
	}
	for _, name := range []string{sink.GetSignSecret(), sink.GetTokenSecret()} {
		if err := s.bound(name, sink, m.to); err != nil {
			return means{}, err
		}
	}
	return m, nil
}

// address is where a sink is. What is wrong with one that is a secret is told
// without a word of it.
func address(sink *pb.Sink, secret string) (*url.URL, error) {
	from := sink.GetUrl()
	if sink.GetUrlSecret() != "" {
		from = secret
	}
	to, err := url.Parse(from)
	if err != nil || to.Host == "" || to.Scheme != "https" && to.Scheme != "http" {
		return nil, &Failure{Why: fmt.Sprintf("the secret %q is no address", sink.GetUrlSecret()), Fix: "write an address that begins with https:// into it"}
	}
	to.Path = strings.TrimSuffix(to.Path, "/") + path(sink.GetKind())
	return to, nil
}

// hostsFile is where the hosts are that a secret may go to. No secret has such a
// name, for none has a dot.
func hostsFile(secret string) string { return secret + ".hosts" }

// hostsVariable has them where there is no file.
func hostsVariable(secret string) string { return EnvOf(secret) + "_HOSTS" }

// bound refuses a secret where it may not go: whoever may put a sink chooses both
// the secret's name and the address. An address that is a secret is not told.
func (s Secrets) bound(name string, sink *pb.Sink, to *url.URL) error {
	if name == "" {
		return nil
	}
	list, err := s.text(hostsFile(name), hostsVariable(name))
	if err == nil && names(list, to) {
		return nil
	}
	where := fmt.Sprintf("%.100q", bare(to.Host, to.Scheme))
	if sink.GetUrlSecret() != "" {
		where = fmt.Sprintf("the host of secret %q", sink.GetUrlSecret())
	}
	return &Failure{
		Why: fmt.Sprintf("secret %q may not go to %s: that host is neither in %s nor in the variable %s", name, where, s.where(hostsFile(name)), hostsVariable(name)),
		Fix: "write it into one of them, on each server, if the secret may go there",
	}
}

// names tells whether a list of hosts has that of an address. A host is written
// with its port where that is not the usual one.
func names(list string, to *url.URL) bool {
	for _, host := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		if bare(host, to.Scheme) == bare(to.Host, to.Scheme) {
			return true
		}
	}
	return false
}

// bare is a host with its port, without the usual port of a scheme.
func bare(host, scheme string) string {
	port := map[string]string{"https": ":443", "http": ":80"}[scheme]
	return strings.TrimSuffix(strings.ToLower(host), port)
}
