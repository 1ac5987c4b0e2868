package main

import (
	"strings"
	"testing"
	"time"

	"squall/server/archive"
)

func TestArchiveLimitsAreReadAndRefused(t *testing.T) {
	day := 24 * time.Hour
	for _, c := range []struct {
		spec  archiveSpec
		want  archive.Limits
		wrong string
	}{
		{spec: archiveSpec{}, want: archive.DefaultLimits},
		{spec: archiveSpec{Age: "30d", Runs: "50", Size: "1GiB"}, want: archive.Limits{Age: 30 * day, Runs: 50, Bytes: 1 << 30}},
		{spec: archiveSpec{Age: "3650d"}, want: archive.Limits{Age: 3650 * day, Runs: 10_000, Bytes: 20 << 30}},
		{spec: archiveSpec{Age: "off", Size: "off"}, want: archive.Limits{Runs: 10_000}},
		{spec: archiveSpec{Age: "90"}, wrong: `age: "90": "90" has no unit`},
		{spec: archiveSpec{Age: "1h"}, wrong: "write 1d or more"},
		{spec: archiveSpec{Runs: "0"}, wrong: `runs: "0" is not 1 to 10000`},
		{spec: archiveSpec{Runs: "10001"}, wrong: "fix: write a whole number: servers have the lines of 10000 runs"},
		{spec: archiveSpec{Runs: "many"}, wrong: "is not 1 to 10000"},
		{spec: archiveSpec{Size: "20"}, wrong: "has no unit"},
		{spec: archiveSpec{Size: "3kB"}, wrong: "write 1MiB or more, or off"},
		{spec: archiveSpec{Size: "9000000TiB"}, wrong: "write 1MiB or more, or off"},
	} {
		got, err := c.spec.limits()
		switch {
		case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)):
			t.Errorf("%+v: %v, want %q", c.spec, err, c.wrong)
		case c.wrong == "" && (err != nil || got != c.want):
			t.Errorf("%+v: %+v, %v", c.spec, got, err)
		}
	}
}

// The defaults that settings and pages tell are those of the code.
func TestArchiveDefaultsAreTold(t *testing.T) {
	said := archiveSpec{}
	for _, s := range settingTable {
		switch s.key {
		case "archive.age":
			said.Age = s.value.(string)
		case "archive.runs":
			said.Runs = s.value.(string)
		case "archive.size":
			said.Size = s.value.(string)
		}
	}
	if got, err := said.limits(); err != nil || got != archive.DefaultLimits || said.Age == "" {
		t.Errorf("%+v are %+v, %v", said, got, err)
	}
}

// A flag outranks the setting, and what no flag says is the setting's.
func TestArchiveFlagsOutrankSettings(t *testing.T) {
	o := &serverOptions{archive: archiveSpec{Age: "9d"}.or(archiveSpec{Age: "7d", Runs: "5", Size: "off"})}
	got, err := o.archive.limits()
	if want := (archive.Limits{Age: 9 * 24 * time.Hour, Runs: 5}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	o.archive.Runs = "0"
	if _, err := o.config(); err == nil || !strings.Contains(err.Error(), `--archive-runs: "0" is not 1 to 10000`) {
		t.Errorf("refused with %v", err)
	}
}
