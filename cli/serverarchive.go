package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"squall/experiments/quantity"
	"squall/server/archive"
)

const (
	// noLimit is the setting for an archive that nothing leaves for that reason.
	noLimit = "off"
	// leastAge is the shortest time for which a run may be kept: one may wait that
	// long until it is sealed.
	leastAge = 24 * time.Hour
)

// register adds the flags of squall server, which outrank the settings.
func (s *archiveSpec) register(f *pflag.FlagSet) {
	f.StringVar(&s.Age, "archive-age", "", "how long finished runs are kept, such as 800d, or off; else the setting archive.age")
	f.StringVar(&s.Runs, "archive-runs", "", "how many finished runs are kept, 1 to 10000; else the setting archive.runs")
	f.StringVar(&s.Size, "archive-size", "", "how much finished runs may take on this disk, such as 20GiB, or off; else the setting archive.size")
}

// or is what is set here, and what others say of the rest.
func (s archiveSpec) or(others archiveSpec) archiveSpec {
	return archiveSpec{Age: cmp.Or(s.Age, others.Age), Runs: cmp.Or(s.Runs, others.Runs), Size: cmp.Or(s.Size, others.Size)}
}

// limits are what is set; what is empty is the default. Errors begin with the
// part that is wrong.
func (s archiveSpec) limits() (archive.Limits, error) {
	l := archive.DefaultLimits
	var err error
	if s.Age != "" {
		if l.Age, err = archiveAge(s.Age); err != nil {
			return l, fmt.Errorf("age: %q: %w", s.Age, err)
		}
	}
	if s.Runs != "" {
		if l.Runs, err = strconv.Atoi(s.Runs); err != nil || l.Runs < 1 || l.Runs > archive.DefaultLimits.Runs {
			return l, fmt.Errorf("runs: %q is not 1 to %d\n  fix: write a whole number: servers have the lines of %[2]d runs", s.Runs, archive.DefaultLimits.Runs)
		}
	}
	if s.Size != "" {
		if l.Bytes, err = archiveSize(s.Size); err != nil {
			return l, fmt.Errorf("size: %q: %w", s.Size, err)
		}
	}
	return l, nil
}

func archiveAge(age string) (time.Duration, error) {
	if age == noLimit {
		return 0, nil
	}
	span, err := parseAge(age)
	if err == nil && time.Duration(span) < leastAge {
		err = errors.New("write 1d or more: a run may wait a day until it is sealed")
	}
	return time.Duration(span), err
}

func archiveSize(size string) (int64, error) {
	if size == noLimit {
		return 0, nil
	}
	bytes, err := quantity.ParseSize(size)
	if err == nil && (bytes.GetBytes() < 1<<20 || bytes.GetBytes() > math.MaxInt64) {
		err = errors.New("write 1MiB or more, or off")
	}
	return int64(bytes.GetBytes()), err
}
