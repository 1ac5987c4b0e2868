package notify

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	m, err := s.Secrets.means(sink)
	if err != nil {
		return err
	}
	req, err := s.request(ctx, sink, n, m)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return &Failure{Why: class(err)}
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, mostAnswer)) // the status has said it all
	return judge(res)
}

func (s *Sender) request(ctx context.Context, sink *pb.Sink, n *pb.Notice, m means) (*http.Request, error) {
	body, contentType, err := s.body(sink, n)
	if err != nil {
		return nil, failure(err)
	}
	if m.token != "" && !private(m.to) {
		return nil, &Failure{Why: "its address is not https, and a token would be readable on the way", Fix: "write https", Final: true}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.to.String(), bytes.NewReader(body))
	if err != nil {
		return nil, &Failure{Why: "its address can't be used", Fix: "look at the secret " + sink.GetUrlSecret(), Final: true}
	}
	req.Header = header(contentType, agent)
	if m.token != "" {
		req.Header.Set("Authorization", "Bearer "+m.token)
	}
	if m.key != "" {
		sign(req.Header, m.key, n.GetId(), time.Now(), body)
	}
	return req, nil
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
