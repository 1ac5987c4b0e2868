package probe

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// number reads a finite number; NaN and infinities are no values.
func number(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%s is not a finite number", text)
	}
	return v, nil
}

// OutputValue is the number that a program printed as its first word; nil when
// it printed none, which is no error: its exit code may say enough.
func OutputValue(out []byte) *float64 {
	words := strings.Fields(string(out))
	if len(words) == 0 {
		return nil
	}
	v, err := number(words[0])
	if err != nil {
		return nil
	}
	return &v
}

// queryValue is the one number of an answer of Prometheus' HTTP API.
func queryValue(answer []byte) (float64, error) {
	var a struct {
		Status, Error string
		Data          struct {
			ResultType string
			Result     json.RawMessage
		}
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return 0, fmt.Errorf("read the answer: %w", err)
	}
	if a.Status != "success" {
		return 0, fmt.Errorf("the query failed: %s", a.Error)
	}
	switch a.Data.ResultType {
	case "scalar":
		return sample(a.Data.Result)
	case "vector":
		var series []struct{ Value json.RawMessage }
		if err := json.Unmarshal(a.Data.Result, &series); err != nil {
			return 0, fmt.Errorf("read the answer: %w", err)
		}
		if len(series) != 1 {
			return 0, fmt.Errorf("the query gives %d series, want one number; try sum(…) or max(…)", len(series))
		}
		return sample(series[0].Value)
	}
	return 0, fmt.Errorf("the query gives a %s, want one number", a.Data.ResultType)
}

// sample is the value of a pair of time and value, the latter in quotes.
func sample(raw json.RawMessage) (float64, error) {
	var pair []json.RawMessage
	if err := json.Unmarshal(raw, &pair); err != nil || len(pair) != 2 {
		return 0, errors.New("read the answer: a sample is not a pair of time and value")
	}
	var text string
	if err := json.Unmarshal(pair[1], &text); err != nil {
		return 0, fmt.Errorf("read the answer: %w", err)
	}
	return number(text)
}
