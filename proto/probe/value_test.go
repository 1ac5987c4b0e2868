package probe

import (
	"math"
	"testing"
)

// FuzzValues: no answer breaks the decoders, and what they give is finite.
func FuzzValues(f *testing.F) {
	for _, seed := range []string{
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"17.5"]}]}}`,
		`{"status":"success","data":{"resultType":"scalar","result":[1,"NaN"]}}`,
		`{"status":"success","data":{"resultType":"vector","result":[null]}}`, `{"status":"error"}`, "42\n", "1e999", "",
	} {
		f.Add([]byte(seed))
	}
	finite := func(t *testing.T, v float64) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			t.Errorf("%v", v)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if v := OutputValue(b); v != nil {
			finite(t, *v)
		}
		if v, err := queryValue(b); err == nil {
			finite(t, v)
		}
	})
}
