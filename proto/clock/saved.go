package clock

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Saved is cluster time as a server last knew it, in the words of its machine's
// boot time: what outlives the process, and even, roughly, the boot.
type Saved struct {
	// BootID names the boot, Boot is the time since it began, suspensions included.
	BootID string        `json:"boot_id"`
	Boot   time.Duration `json:"boot_nanos"`
	// Unix is cluster time at that moment, in nanoseconds, and Doubt how far off it
	// may have been.
	Unix  int64         `json:"cluster_unix_nanos"`
	Doubt time.Duration `json:"doubt_nanos"`
}

// DecodeSaved reads what Encode wrote. Whatever else is an error.
func DecodeSaved(data []byte) (Saved, error) {
	var s Saved
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return Saved{}, fmt.Errorf("decode saved time: %w", err)
	}
	if d.More() {
		return Saved{}, errors.New("decode saved time: something follows it")
	}
	if s.BootID == "" || s.Boot < 0 || s.Unix <= 0 || s.Doubt < 0 {
		return Saved{}, errors.New("decode saved time: boot_id is missing, or an instant is negative")
	}
	return s, nil
}

// Encode is the text that DecodeSaved reads.
func (s Saved) Encode() []byte {
	data, _ := json.Marshal(s) // strings and integers: it can't fail
	return data
}

// At is cluster time at a later moment of the same boot. Its doubt grows by how
// fast clocks may part, and by how fast others may have slewed it meanwhile. It is
// not ok in another boot, of which nobody knows when it began.
func (s Saved) At(bootID string, boot time.Duration) (r Reading, ok bool) {
	passed := boot - s.Boot
	if s.BootID != bootID || passed < 0 {
		return Reading{}, false
	}
	return Reading{Unix: s.Unix + int64(passed), Doubt: s.Doubt + passed/1_000_000*(driftPPM+slewPPM)}, true
}

// Begin is where cluster time begins that nobody carries on: at a wall clock, but
// never before the last instant that is known, and no further after it than most.
// capped says that the wall clock was too far ahead. Zero is no bound.
func Begin(wall, last time.Time, most time.Duration) (begin time.Time, capped bool) {
	switch {
	case wall.Before(last):
		return last, false
	case most > 0 && wall.Sub(last) > most:
		return last.Add(most), true
	}
	return wall, false
}
