package show

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"squall/proto/hist"
	pb "squall/proto/squall/v1"
)

// columns are those of the windows' table, with their units.
var columns = []string{
	"run", "probe", "zone", "time_utc", "offset_seconds", "attempts", "successes", "success_ratio",
	"latency_p50_ms", "latency_p95_ms", "latency_p99_ms", "latency_max_ms", "value_lowest", "value_highest", "hosts",
}

// Windows writes windows as comma-separated values, a line for each second of
// each probe in each zone.
type Windows struct {
	out *csv.Writer
	t0  int64
}

// NewWindows begins the table of a run whose first instant is t0, Unix
// nanoseconds; 0 where it never fired, and then nothing has an offset.
func NewWindows(w io.Writer, t0 int64) (*Windows, error) {
	c := &Windows{out: csv.NewWriter(w), t0: t0}
	if err := c.out.Write(columns); err != nil {
		return nil, fmt.Errorf("write windows: %w", err)
	}
	return c, nil
}

// Write adds a window. The zone of those of the servers is control.
func (c *Windows) Write(w *pb.Window) error {
	zone := w.GetZone()
	if zone == "" {
		zone = "control"
	}
	at := time.Unix(w.GetSecond(), 0).UTC()
	row := []string{plainCell(w.GetRun()), plainCell(w.GetProbe()), plainCell(zone), at.Format(time.RFC3339), "", count(w.GetCount()), count(w.GetSuccess()), ""}
	if c.t0 != 0 {
		row[4] = decimal(time.Duration(at.UnixNano() - c.t0).Seconds())
	}
	if w.GetCount() > 0 {
		row[7] = decimal(float64(w.GetSuccess()) / float64(w.GetCount()))
	}
	for _, q := range []float64{0.50, 0.95, 0.99} {
		cell := ""
		if nanos, ok := hist.Quantile(w.GetLatency(), q); ok {
			cell = decimal(float64(nanos) / 1e6)
		}
		row = append(row, cell)
	}
	most, lowest, highest := "", "", ""
	if hist.Count(w.GetLatency()) > 0 {
		most = decimal(float64(w.GetLatency().GetMax()) / 1e6)
	}
	if w.GetHasValue() {
		lowest, highest = decimal(w.GetLowest()), decimal(w.GetHighest())
	}
	return c.out.Write(append(row, most, lowest, highest, strconv.Itoa(hist.Hosts(w))))
}

// Flush writes what is held back.
func (c *Windows) Flush() error {
	c.out.Flush()
	if err := c.out.Error(); err != nil {
		return fmt.Errorf("write windows: %w", err)
	}
	return nil
}

// plainCell is text that no spreadsheet takes for a formula.
func plainCell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

func count(n uint64) string { return strconv.FormatUint(n, 10) }

// decimal is a number of at most six digits after the point.
func decimal(v float64) string {
	out := strconv.FormatFloat(v, 'f', 6, 64)
	if strings.Contains(out, ".") {
		out = strings.TrimRight(strings.TrimRight(out, "0"), ".")
	}
	return out
}
