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
	request, err := http.NewRequestWithContext(ctx, cmp.Or(p.GetMethod(), http.MethodGet), p.GetUrl(), http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "squall-probe")
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
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

// matches holds a status against "200" or "2xx".
func matches(status int, want string) bool {
	got := fmt.Sprint(status)
	if class, ok := strings.CutSuffix(want, "xx"); ok {
		return strings.HasPrefix(got, class) && len(got) == 3
	}
	return got == want
}
