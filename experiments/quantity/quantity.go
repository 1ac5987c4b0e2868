package quantity

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"squall/experiments/internal/pattern"
	pb "squall/proto/squall/v1"
)

var (
	bareNumber = pattern.Lazy(`^[+-]?[0-9]+(\.[0-9]+)?$`)
	timeOfDay  = pattern.Lazy(`^([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?$`)
	wellFormed = pattern.Lazy(`^([0-9]+d)?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))*$`)
	// wholeDays are the days with which a length of time begins, and what follows.
	wholeDays = pattern.Lazy(`^([0-9]{1,6})d(.*)$`)
)

// Longest is the Longest span: a year. Sums of a few stay far from overflow.
const Longest = 365 * 24 * time.Hour

// ParseSpan reads a length of time of at most a year: "250ms", "10m", "1h06m",
// "30d". The units are ns, us, ms, s, m, h and d, whole days of 24 hours, which
// come first; there is no default unit, and no negative length.
func ParseSpan(text string) (*pb.Span, error) {
	switch {
	case bareNumber().MatchString(text):
		return nil, Mistakef(fmt.Sprintf("write a unit, such as %ss or %sm", text, text), "%s has no unit", Quoted(text))
	case strings.HasPrefix(text, "-"):
		return nil, Mistakef("write a length of time, such as 30s", "%s is negative", Quoted(text))
	}
	d, err := parseDuration(text)
	if d > Longest || err != nil && wellFormed().MatchString(text) {
		return nil, Mistakef("write at most "+FormatSpan(int64(Longest)), "%s is longer than a year", Quoted(text))
	}
	if err != nil || d < 0 || strings.HasPrefix(text, "+") {
		return nil, Mistakef("write a number and a unit (ns, us, ms, s, m, h, d), such as 250ms or 1h06m", "%s is not a length of time", Quoted(text))
	}
	return &pb.Span{Nanos: int64(d)}, nil
}

// parseDuration is time.ParseDuration with days before the rest.
func parseDuration(text string) (time.Duration, error) {
	m := wholeDays().FindStringSubmatch(text)
	if m == nil {
		return time.ParseDuration(text)
	}
	days, err := strconv.Atoi(m[1])
	d := time.Duration(min(days, 1000)) * 24 * time.Hour // more than the longest is too long, whatever it is
	if err != nil || m[2] == "" {
		return d, err
	}
	rest, err := time.ParseDuration(m[2])
	switch {
	case err != nil || rest > Longest:
		return rest, err
	case strings.ContainsAny(m[2][:1], "+-"):
		return 0, errors.New("a sign after the days")
	}
	return d + rest, nil
}

// FormatSpan prints nanoseconds as ParseSpan reads them, without empty units:
// "1h6m", "250ms", "0s".
func FormatSpan(nanos int64) string {
	if nanos < 0 {
		return "-" + strings.TrimPrefix(time.Duration(nanos).String(), "-")
	}
	d := time.Duration(nanos)
	var b strings.Builder
	if h := d / time.Hour; h > 0 {
		fmt.Fprintf(&b, "%dh", h)
	}
	if m := d % time.Hour / time.Minute; m > 0 {
		fmt.Fprintf(&b, "%dm", m)
	}
	if rest := d % time.Minute; rest > 0 || d == 0 {
		b.WriteString(rest.String())
	}
	return b.String()
}

// ParseShare reads a part of a whole: "5%", "0.5%"; at most 100%, in steps of 0.0001%.
func ParseShare(text string) (*pb.Share, error) {
	number, ok := strings.CutSuffix(text, "%")
	if !ok {
		return nil, Mistakef("write a share as a percentage, such as 5%", "%s has no percent sign", Quoted(text))
	}
	ppm, err := scaled(number, 4)
	if err != nil {
		return nil, Mistakef("write a number of at most four decimals and %, such as 0.5%", "%s is not a share", Quoted(text))
	}
	if ppm > 1_000_000 {
		return nil, Mistakef("write a share of at most 100%", "%s is more than the whole", Quoted(text))
	}
	return &pb.Share{Ppm: uint32(ppm)}, nil
}

// FormatShare prints parts per million as a percentage: "0.5%".
func FormatShare(ppm uint32) string { return unscaled(uint64(ppm), 4) + "%" }

// ParseInstant reads a moment of the timeline: a time of day "20:04" or
// "20:04:30", a time after the origin "T+1h06m", or the name of a phase.
func ParseInstant(text string) (*pb.Instant, error) {
	if m := timeOfDay().FindStringSubmatch(text); m != nil {
		return parseTimeOfDay(text, m[1], m[2], m[3])
	}
	if after, ok := strings.CutPrefix(text, "T+"); ok {
		span, err := ParseSpan(after)
		if err != nil {
			return nil, Mistakef("write T+ and a length of time, such as T+1h06m", "%s is not a time after the origin", Quoted(text))
		}
		return &pb.Instant{Of: &pb.Instant_AfterOrigin{AfterOrigin: span.GetNanos()}}, nil
	}
	if IsName(text) {
		return &pb.Instant{Of: &pb.Instant_Phase{Phase: text}}, nil
	}
	return nil, Mistakef(`write a time of day in quotes ("20:04"), a time after the origin (T+1h06m) or the name of a phase`,
		"%s is not a moment", Quoted(text))
}

func parseTimeOfDay(text, hour, minute, second string) (*pb.Instant, error) {
	h, _ := strconv.Atoi(hour)
	m, _ := strconv.Atoi(minute)
	s, _ := strconv.Atoi("0" + second)
	if len(hour) != 2 || h > 23 || m > 59 || s > 59 {
		return nil, Mistakef(`write hours 00 to 23, minutes and seconds 00 to 59, such as "08:19" or "20:04:30"`,
			"%s is not a time of day", Quoted(text))
	}
	return &pb.Instant{Of: &pb.Instant_TimeOfDay{TimeOfDay: uint32(h*3600 + m*60 + s)}}, nil
}

// FormatInstant prints a moment as ParseInstant reads it.
func FormatInstant(i *pb.Instant) string {
	switch of := i.GetOf().(type) {
	case *pb.Instant_TimeOfDay:
		t := of.TimeOfDay
		if t%60 == 0 {
			return fmt.Sprintf("%02d:%02d", t/3600, t/60%60)
		}
		return fmt.Sprintf("%02d:%02d:%02d", t/3600, t/60%60, t%60)
	case *pb.Instant_AfterOrigin:
		return "T+" + FormatSpan(of.AfterOrigin)
	case *pb.Instant_Phase:
		return of.Phase
	}
	return ""
}

// ParseAmount reads a count, "3", or a share, "40%". None at all is no amount.
func ParseAmount(text string) (*pb.Amount, error) {
	if strings.HasSuffix(text, "%") {
		share, err := ParseShare(text)
		if err != nil {
			return nil, err
		}
		if share.GetPpm() == 0 {
			return nil, Mistakef("write more than 0%, or leave the key out", "%s is none at all", Quoted(text))
		}
		return &pb.Amount{Of: &pb.Amount_Share{Share: share}}, nil
	}
	n, err := WholeNumber(text, math.MaxUint32)
	if err != nil {
		return nil, Mistakef("write a whole number, such as 3, or a share, such as 40%", "%s is neither a count nor a share", Quoted(text))
	}
	if n == 0 {
		return nil, Mistakef("write at least 1, or leave the key out", "%s is none at all", Quoted(text))
	}
	return &pb.Amount{Of: &pb.Amount_Count{Count: uint32(n)}}, nil
}

// FormatAmount prints a count or a share as ParseAmount reads it.
func FormatAmount(a *pb.Amount) string {
	switch of := a.GetOf().(type) {
	case *pb.Amount_Count:
		return strconv.FormatUint(uint64(of.Count), 10)
	case *pb.Amount_Share:
		return FormatShare(of.Share.GetPpm())
	}
	return ""
}

// ParseRamp reads a magnitude of the unit, "30%", or one that moves, "5% -> 95%".
// Both sides have the same unit.
func ParseRamp(unit pb.Unit, text string) (*pb.Ramp, error) {
	from, to, moves := strings.Cut(text, "->")
	low, err := parseMagnitude(unit, strings.TrimSpace(from))
	if err != nil {
		return nil, err
	}
	high := low
	if moves {
		if high, err = parseMagnitude(unit, strings.TrimSpace(to)); err != nil {
			return nil, err
		}
	}
	return &pb.Ramp{Unit: unit, From: low, To: high}, nil
}

// FormatRamp prints a magnitude as ParseRamp reads it.
func FormatRamp(r *pb.Ramp) string {
	from := formatMagnitude(r.GetUnit(), r.GetFrom())
	if r.GetFrom() == r.GetTo() {
		return from
	}
	return from + " -> " + formatMagnitude(r.GetUnit(), r.GetTo())
}

func parseMagnitude(unit pb.Unit, text string) (int64, error) {
	switch unit {
	case pb.Unit_UNIT_SHARE:
		share, err := ParseShare(text)
		return int64(share.GetPpm()), err
	case pb.Unit_UNIT_SPAN:
		span, err := ParseSpan(text)
		return span.GetNanos(), err
	case pb.Unit_UNIT_RATE:
		number, ok := strings.CutSuffix(text, "/s")
		milli, err := scaled(number, 3)
		if !ok || err != nil || milli > math.MaxInt64 {
			return 0, Mistakef("write events a second, such as 500/s", "%s is not a rate", Quoted(text))
		}
		return int64(milli), nil
	}
	return 0, fmt.Errorf("parse magnitude %s: no unit", Quoted(text))
}

func formatMagnitude(unit pb.Unit, n int64) string {
	switch unit {
	case pb.Unit_UNIT_SHARE:
		return FormatShare(uint32(n))
	case pb.Unit_UNIT_SPAN:
		return FormatSpan(n)
	case pb.Unit_UNIT_RATE:
		return unscaled(uint64(n), 3) + "/s"
	}
	return strconv.FormatInt(n, 10)
}

var name = pattern.Lazy(`^[a-z][a-z0-9_]*$`)

// IsName says whether a text can name a phase, a target or a probe: small
// letters, digits and _, beginning with a letter.
func IsName(text string) bool { return name().MatchString(text) }
