package archive

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// What somebody puts into the folder, or takes from it, is known after a look.
func TestRescanFindsWhatHasChangedInTheFolder(t *testing.T) {
	dir := t.TempDir()
	a := opened(t, dir)
	var files []string
	for i := range 3 {
		files = append(files, filepath.Join(dir, put(t, a, record(i, 5)).File))
	}
	away, err := os.ReadFile(files[2])
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(files[2]), os.Truncate(files[1], 100), os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	holds := func(runs, strangers int) {
		t.Helper()
		if err := a.Rescan(); err != nil || len(a.Entries()) != runs || len(a.Strangers()) != strangers {
			t.Errorf("%d runs and %v are there, %v; want %d and %d", len(a.Entries()), a.Strangers(), err, runs, strangers)
		}
	}
	holds(1, 2)
	if err := errors.Join(os.Remove(filepath.Join(dir, "notes.txt")), os.Remove(files[1]), os.WriteFile(files[2], away, 0o600)); err != nil {
		t.Fatal(err)
	}
	holds(2, 0)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	holds(0, 0)
	put(t, a, record(9, 1))
}

// What is known to be damaged inside stays so, though its ends are whole; put
// right by hand, it is a run again.
func TestRescanRemembersDamage(t *testing.T) {
	dir := t.TempDir()
	a := opened(t, dir)
	e := put(t, a, record(1, 3000))
	path := filepath.Join(dir, e.File)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, turned(good, len(good)/2), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Verify(e.Run()); !errors.Is(err, ErrDamaged) {
		t.Fatalf("verified with %v", err)
	}
	for range 2 {
		if err := a.Rescan(); err != nil || len(a.Entries()) != 0 || len(a.Strangers()) != 1 {
			t.Errorf("%v are runs, %v are not, %v", a.Entries(), a.Strangers(), err)
		}
	}
	if err := os.WriteFile(path, append(good, 0), 0o600); err != nil { // another size, for clocks that are coarse
		t.Fatal(err)
	}
	if err := errors.Join(a.Rescan(), os.Truncate(path, int64(len(good))), a.Rescan(), a.Verify(e.Run())); err != nil {
		t.Errorf("with its bytes back: %v", err)
	}
}
