package probe

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	pb "squall/proto/squall/v1"
)

// maxBody bounds what is read of an answer.
const maxBody = 1 << 20

// getHTTP makes one request on a fresh connection, without a proxy, and follows
// no redirect: where it leads is another probe's matter.
func getHTTP(ctx context.Context, p *pb.HTTPProbe) error {
	response, err := request(ctx, cmp.Or(p.GetMethod(), http.MethodGet), p.GetUrl())
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, maxBody)); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if want := cmp.Or(p.GetStatus(), "2xx"); !matches(response.StatusCode, want) {
		return fmt.Errorf("status %d, want %s", response.StatusCode, want)
	}
	return nil
}

// userAgent is what those who are probed may know the requests by.
const userAgent = "squall-probe"

// request makes a request on a connection of its own; its caller closes the body.
func request(ctx context.Context, method, url string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", userAgent)
	return (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
}

// matches holds a status against "200" or "2xx".
func matches(status int, want string) bool {
	got := fmt.Sprint(status)
	if class, ok := strings.CutSuffix(want, "xx"); ok {
		return strings.HasPrefix(got, class) && len(got) == 3
	}
	return got == want
}
