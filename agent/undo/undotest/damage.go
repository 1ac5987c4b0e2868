package undotest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// headers is as much of a file as both copies of its header take.
const headers = 8192

// Damage makes a journal in a folder, new or closed, one of which part can't be
// read: its headers are overwritten.
func Damage(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("damage journal: %w", err)
	}
	for _, name := range []string{"journal.a", "journal.b"} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return fmt.Errorf("damage journal: %w", err)
		}
		_, err = f.WriteAt(bytes.Repeat([]byte{0xff}, headers), 0)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("damage journal: %w", err)
		}
	}
	return nil
}
