package probe

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	pb "squall/proto/squall/v1"
)

// query makes an instant query. Any answer that is not one finite number is a
// failed attempt.
func query(ctx context.Context, p *pb.PromQLProbe) (*float64, error) {
	address := strings.TrimSuffix(p.GetUrl(), "/") + "/api/v1/query?" + url.Values{"query": {p.GetQuery()}}.Encode()
	response, err := request(ctx, http.MethodGet, address)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	v, err := queryValue(answer)
	if err != nil && response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d: %w", response.StatusCode, err)
	}
	if err != nil {
		return nil, err
	}
	return &v, nil
}
