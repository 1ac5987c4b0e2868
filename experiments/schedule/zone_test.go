package schedule

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestZonesAreTheBuilds: in a process whose machine has other rules for a zone,
// the build's hold.
func TestZonesAreTheBuilds(t *testing.T) {
	const child = "SQUALL_ZONES_OF_THE_MACHINE"
	noon := time.Date(2026, time.July, 1, 12, 0, 0, 0, time.UTC)
	if os.Getenv(child) != "" {
		if machine, err := time.LoadLocation("Europe/Paris"); err != nil || noon.In(machine).Hour() != 21 {
			t.Fatalf("the machine's rules are not those of the test: %v, %v", machine, err)
		}
		paris, err := Zone("Europe/Paris")
		if err != nil {
			t.Fatal(err)
		}
		if got := noon.In(paris).Format(time.RFC3339); got != "2026-07-01T14:00:00+02:00" {
			t.Errorf("noon UTC in Paris is %s", got)
		}
		return
	}
	files, err := zoneFiles()
	if err != nil {
		t.Fatal(err)
	}
	tokyo, err := files["Asia/Tokyo"].Open()
	if err != nil {
		t.Fatal(err)
	}
	defer tokyo.Close()
	machine := t.TempDir()
	if err := os.Mkdir(filepath.Join(machine, "Europe"), 0o700); err != nil {
		t.Fatal(err)
	}
	paris, err := os.Create(filepath.Join(machine, "Europe", "Paris"))
	if err != nil {
		t.Fatal(err)
	}
	defer paris.Close()
	if _, err := paris.ReadFrom(tokyo); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestZonesAreTheBuilds$")
	c.Env = append(os.Environ(), child+"=1", "ZONEINFO="+machine)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestEveryZoneOfTheBuildIsRead, each under its name.
func TestEveryZoneOfTheBuildIsRead(t *testing.T) {
	files, err := zoneFiles()
	if err != nil {
		t.Fatal(err)
	}
	for name := range files {
		if zone, err := Zone(name); err != nil || zone.String() != name {
			t.Errorf("%s is read as %v, %v", name, zone, err)
		}
	}
	if len(files) < 500 {
		t.Errorf("there are %d zones", len(files))
	}
}
