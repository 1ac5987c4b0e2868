package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Verify is a receiver's check: of a header, and of the body as it came.
// Remember the ids of the last ten minutes besides: one that comes again was
// told before.
func Verify(secret string, h http.Header, body []byte, now time.Time) error {
	id, stamp := h.Get("webhook-id"), h.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return errors.New("the event is old: somebody plays it again, or a clock is off")
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(id + "." + stamp + "."))
	mac.Write(body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for _, got := range strings.Fields(h.Get("webhook-signature")) {
		if hmac.Equal([]byte(got), []byte(want)) {
			return nil
		}
	}
	return errors.New("the signature is of another key, or of another event")
}

// TestDocumentedCheckIsTheOneThatIsTested word for word.
func TestDocumentedCheckIsTheOneThatIsTested(t *testing.T) {
	src, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/notify.md")
	if err != nil {
		t.Fatal(err)
	}
	begin := strings.Index(string(src), "func Verify")
	check := string(src)[begin : strings.Index(string(src), "\n}\n")+3]
	if !strings.Contains(string(page), "```go\n"+check+"```\n") {
		t.Errorf("docs/notify.md does not have\n%s", check)
	}
}
