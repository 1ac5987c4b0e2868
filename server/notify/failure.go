package notify

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Failure is why a sink was not told. It never has a secret in it.
type Failure struct {
	Why, Fix string
	// Final says that the same again would fail again.
	Final bool
	// Gone says that the sink wants to hear nothing more.
	Gone bool
	// After is how long the sink wants to be left alone.
	After time.Duration
}

// Error is why the sink was not told.
func (f *Failure) Error() string { return f.Why }

// told is an error with its fix, for who reads it later.
func told(err error) string {
	if f, ok := errors.AsType[*Failure](err); ok && f.Fix != "" {
		return f.Why + "; fix: " + f.Fix
	}
	return err.Error()
}

var errGone = &Failure{Why: "the sink said before that it is gone", Final: true, Gone: true}

func (f *Failure) final() bool  { return f != nil && f.Final }
func (f *Failure) isGone() bool { return f != nil && f.Gone }

// again is how long the sink wants to be left alone; 0 where it doesn't say.
func (f *Failure) again() time.Duration {
	if f == nil {
		return 0
	}
	return f.After
}

// judge is nil where an answer says that the notice was taken.
func judge(res *http.Response) error {
	code := res.StatusCode
	f := &Failure{Why: strings.TrimSpace(fmt.Sprintf("it answers %d %s", code, http.StatusText(code)))}
	switch {
	case code >= 200 && code < 300:
		return nil
	case code >= 300 && code < 400:
		f.Why = fmt.Sprintf("it answers %d and sends us elsewhere", code) // where to may have a secret in it
		f.Final, f.Fix = true, "put the sink with the address that it has now"
	case code == http.StatusGone:
		f.Final, f.Gone, f.Fix = true, true, "put the sink anew when it is back, or remove it"
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		f.Final, f.Fix = true, "look at the sink's secrets, then: squall notify dead retry"
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		f.After = retryAfter(res.Header.Get("Retry-After"))
	case code >= 400 && code < 500:
		f.Final = true
	}
	return f
}

// retryAfter is a number of seconds, as most say it; 0 for everything else.
func retryAfter(text string) time.Duration {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(n)*time.Second, retryAfterMost)
}
