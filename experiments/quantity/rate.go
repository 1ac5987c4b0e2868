package quantity

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"

	pb "squall/proto/squall/v1"
)

// unit is a suffix and what it multiplies by.
type unit struct {
	suffix string
	factor uint64
}

var (
	bitUnits  = []unit{{"gbit", 1e9}, {"mbit", 1e6}, {"kbit", 1e3}, {"bit", 1}}
	byteUnits = []unit{
		{"TiB", 1 << 40},
		{"GiB", 1 << 30},
		{"MiB", 1 << 20},
		{"KiB", 1 << 10},
		{"TB", 1e12},
		{"GB", 1e9},
		{"MB", 1e6},
		{"kB", 1e3},
		{"B", 1},
	}
)

// ParseRate reads how much per second: "10mbit" (decimal bits), "1MiB/s" or
// "1MB/s" (bytes), "500/s" (events) or "20x" (times the measured base).
func ParseRate(text string) (*pb.Rate, error) {
	if number, ok := strings.CutSuffix(text, "x"); ok {
		if n, err := scaled(number, 3); err == nil {
			return &pb.Rate{Of: &pb.Rate_MilliTimes{MilliTimes: n}}, nil
		}
	}
	if n, ok := inUnits(text, bitUnits); ok {
		return &pb.Rate{Of: &pb.Rate_Bits{Bits: n}}, nil
	}
	if perSecond, ok := strings.CutSuffix(text, "/s"); ok {
		if n, ok := inUnits(perSecond, byteUnits); ok {
			return &pb.Rate{Of: &pb.Rate_Bytes{Bytes: n}}, nil
		}
		if n, err := scaled(perSecond, 3); err == nil {
			return &pb.Rate{Of: &pb.Rate_MilliEvents{MilliEvents: n}}, nil
		}
	}
	const fix = "write 20x (times the base), 500/s (events), 10mbit (bits) or 1MiB/s (bytes)"
	if bareNumber().MatchString(text) {
		return nil, Mistakef(fix, "%s has no unit", Quoted(text))
	}
	return nil, Mistakef(fix, "%s is not a rate", Quoted(text))
}

// FormatRate prints a rate as ParseRate reads it.
func FormatRate(r *pb.Rate) string {
	switch of := r.GetOf().(type) {
	case *pb.Rate_Bits:
		return shortest(of.Bits, bitUnits)
	case *pb.Rate_Bytes:
		return FormatSize(of.Bytes) + "/s"
	case *pb.Rate_MilliEvents:
		return unscaled(of.MilliEvents, 3) + "/s"
	case *pb.Rate_MilliTimes:
		return unscaled(of.MilliTimes, 3) + "x"
	}
	return ""
}

// ParseSize reads an amount of memory or disk: "64MiB" (2^20) or "64MB" (10^6).
func ParseSize(text string) (*pb.Size, error) {
	if n, ok := inUnits(text, byteUnits); ok {
		return &pb.Size{Bytes: n}, nil
	}
	const fix = "write a number and a unit (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB), such as 64MiB"
	if bareNumber().MatchString(text) {
		return nil, Mistakef(fix, "%s has no unit", Quoted(text))
	}
	return nil, Mistakef(fix, "%s is not a size", Quoted(text))
}

// FormatSize prints bytes in the unit that gives the smallest whole number.
func FormatSize(bytes uint64) string { return shortest(bytes, byteUnits) }

// inUnits reads a number with one of the units; the result is a whole number of the smallest.
func inUnits(text string, units []unit) (uint64, bool) {
	for _, u := range units {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		places := 0
		if strings.Contains(number, ".") {
			places = 3
		}
		n, err := scaled(number, places)
		if err != nil {
			return 0, false
		}
		return times(n, u.factor, tenTo[places])
	}
	return 0, false
}

var tenTo = [...]uint64{1, 10, 100, 1000}

// times is n * factor / by, and whether that is a whole number of 64 bits.
func times(n, factor, by uint64) (uint64, bool) {
	hi, lo := bits.Mul64(n, factor)
	if hi >= by {
		return 0, false
	}
	quotient, rest := bits.Div64(hi, lo, by)
	return quotient, rest == 0
}

func shortest(n uint64, units []unit) string {
	best := units[len(units)-1]
	for _, u := range units {
		if n > 0 && n%u.factor == 0 && u.factor > best.factor {
			best = u
		}
	}
	return strconv.FormatUint(n/best.factor, 10) + best.suffix
}

// scaled reads a decimal number that is not negative as a whole number of
// 10^-places; more decimals than places are an error.
func scaled(text string, places int) (uint64, error) {
	whole, fraction, point := strings.Cut(text, ".")
	if whole == "" || len(fraction) > places || point && fraction == "" || !Digits(whole+fraction) {
		return 0, fmt.Errorf("parse number %s: not a decimal of at most %d places", Quoted(text), places)
	}
	n, err := strconv.ParseUint(whole+fraction+strings.Repeat("0", places-len(fraction)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("parse number %s: %w", Quoted(text), err)
	}
	return n, nil
}

func unscaled(n uint64, places int) string {
	text := fmt.Sprintf("%0*d", places+1, n)
	whole, fraction := text[:len(text)-places], strings.TrimRight(text[len(text)-places:], "0")
	if fraction == "" {
		return whole
	}
	return whole + "." + fraction
}

// Digits says whether a text has nothing but decimal digits.
func Digits(text string) bool {
	return strings.Trim(text, "0123456789") == ""
}

// WholeNumber reads a decimal whole number. A leading zero is refused, since
// some readers of YAML take it for base 8.
func WholeNumber(text string, most uint64) (uint64, error) {
	const fix = "write a whole number, such as 3"
	if text == "" || !Digits(text) || len(text) > 1 && text[0] == '0' {
		return 0, Mistakef(fix, "%s is not a whole number", Quoted(text))
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > most {
		most = min(most, math.MaxUint64)
		return 0, Mistakef(fmt.Sprintf("write at most %d", most), "%s is too large", Quoted(text))
	}
	return n, nil
}
