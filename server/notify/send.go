package notify

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	pb "squall/proto/squall/v1"
)

const (
	// mostAnswer is how much of an answer is read, in bytes: enough to use the
	// connection again.
	mostAnswer = 64 << 10
	// mostHops is how many redirects within one host are followed.
	mostHops = 3
	agent    = "squall"
)

// Sender makes single attempts, with this server's secrets.
type Sender struct {
	Secrets Secrets
	// Source stands for this cluster in events.
	Source string
}

// Test tells a sink that it is being tested by a server. An error is a *Failure.
func (s *Sender) Test(ctx context.Context, sink *pb.Sink, server string, now time.Time) error {
	client, err := s.client(sink)
	if err != nil {
		return err
	}
	defer closeIdle(client)
	return s.send(ctx, client, sink, &pb.Notice{
		Id: "test/" + server + "/" + rand.Text(), Event: "test", AtUnixNanos: now.UnixNano(), By: server,
		Text: fmt.Sprintf("a test of sink %s from server %s", sink.GetName(), server),
	})
}

// send makes one attempt. An error is a *Failure, with no secret in it.
func (s *Sender) send(ctx context.Context, client *http.Client, sink *pb.Sink, n *pb.Notice) error {
	keys := make(map[string]string)
	for _, name := range named(sink) {
		value, err := s.Secrets.Find(name)
		if err != nil {
			return &Failure{Why: err.Error(), Fix: fmt.Sprintf("give each server the secret: a file %s in its folder of secrets, or the variable %s", name, EnvOf(name))}
		}
		keys[name] = value
	}
	req, err := s.request(ctx, sink, n, keys)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return &Failure{Why: scrub(plain(err), keys[sink.GetUrlSecret()], keys[sink.GetTokenSecret()], req.URL.RequestURI())}
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, mostAnswer)) // the status has said it all
	return judge(res)
}

func (s *Sender) request(ctx context.Context, sink *pb.Sink, n *pb.Notice, keys map[string]string) (*http.Request, error) {
	body, contentType, err := s.body(sink, n)
	if err != nil {
		return nil, failure(err)
	}
	to, err := address(sink, keys[sink.GetUrlSecret()])
	if err != nil {
		return nil, err
	}
	if keys[sink.GetTokenSecret()] != "" && !private(to) {
		return nil, &Failure{Why: "its address is not https, and a token would be readable on the way", Fix: "write https", Final: true}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(body))
	if err != nil {
		return nil, &Failure{Why: "its address can't be used", Fix: "look at the secret " + sink.GetUrlSecret(), Final: true}
	}
	req.Header = header(contentType, agent)
	if token := keys[sink.GetTokenSecret()]; token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if secret := keys[sink.GetSignSecret()]; secret != "" {
		sign(req.Header, secret, n.GetId(), time.Now(), body)
	}
	return req, nil
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

// plain is what went wrong, without the address that net/http puts before it, and
// without a word of what came from the other side: that may hold what we sent.
func plain(err error) string {
	var network *net.OpError
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "it did not answer in time"
	case errors.As(err, &network):
		return network.Error()
	case errors.As(err, &name):
		return name.Error()
	case errors.As(err, &certificate):
		return certificate.Error()
	case errors.Is(err, io.EOF):
		return "it closed the connection without an answer"
	}
	return "its answer is none that HTTP or TLS has"
}

// failure makes any error one, which is final: a body that can't be written never can.
func failure(err error) *Failure {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	return &Failure{Why: err.Error(), Final: true}
}

// client speaks to one sink. It goes where the sink sends it only within the
// host, and with the same request.
func (s *Sender) client(sink *pb.Sink) (*http.Client, error) {
	roots, err := s.Secrets.roots(sink.GetCaFile())
	if err != nil {
		return nil, err
	}
	return &http.Client{
		CheckRedirect: stay,
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			MaxConnsPerHost: 2, IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
			MaxResponseHeaderBytes: mostAnswer, ForceAttemptHTTP2: true,
		},
	}, nil
}

// stay follows a redirect within the host that keeps the request as it is.
func stay(req *http.Request, via []*http.Request) error {
	if first := via[0]; req.URL.Host != first.URL.Host || req.URL.Scheme != first.URL.Scheme || req.Method != first.Method || len(via) > mostHops {
		return http.ErrUseLastResponse
	}
	return nil
}
