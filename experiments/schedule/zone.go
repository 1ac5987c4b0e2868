package schedule

import (
	"archive/zip"
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"sync"
	"time"
)

// zoneinfo is the tz database as Go distributes it (lib/time/zoneinfo.zip of its
// tree; IANA puts it in the public domain).
//
//go:embed zoneinfo.zip
var zoneinfo []byte

// zoneFiles are the zones of the build by name.
var zoneFiles = sync.OnceValues(func() (map[string]*zip.File, error) {
	all, err := zip.NewReader(bytes.NewReader(zoneinfo), int64(len(zoneinfo)))
	if err != nil {
		return nil, fmt.Errorf("read the build's tz database: %w", err)
	}
	files := make(map[string]*zip.File, len(all.File))
	for _, f := range all.File {
		files[f.Name] = f
	}
	return files, nil
})

// zones are those that were asked for, *time.Location by name.
var zones sync.Map

// Zone is a time zone by its name in the tz database, in the build's rules.
// time.LoadLocation has the machine's rules where there are some, so that a slot
// would begin at another instant when another server leads. The error is an *Error.
func Zone(name string) (*time.Location, error) {
	const fix = "write a name of the tz database, such as Europe/Paris or UTC"
	switch name {
	case "":
		return nil, &Error{"timezone", "there is no time zone given", fix}
	case "Local":
		return nil, &Error{"timezone", `"Local" is another zone on each machine`, fix}
	case "UTC":
		return time.UTC, nil
	}
	if zone, ok := zones.Load(name); ok {
		return zone.(*time.Location), nil
	}
	zone, err := readZone(name)
	if err != nil {
		return nil, err
	}
	if zone == nil {
		return nil, &Error{"timezone", fmt.Sprintf("there is no time zone %.80q", name), fix}
	}
	zones.Store(name, zone)
	return zone, nil
}

// readZone is nil where there is no zone of that name.
func readZone(name string) (*time.Location, error) {
	files, err := zoneFiles()
	if err != nil || files[name] == nil {
		return nil, err
	}
	f, err := files[name].Open()
	if err != nil {
		return nil, fmt.Errorf("read time zone %q of the build: %w", name, err)
	}
	defer f.Close()
	rules, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("read time zone %q of the build: %w", name, err)
	}
	return time.LoadLocationFromTZData(name, rules)
}
