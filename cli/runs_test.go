package main

import (
	"strings"
	"testing"
	"time"

	"squall/experiments/schedule"
	pb "squall/proto/squall/v1"
)

// FuzzParseSince: any text is a time, or is refused with what to write.
func FuzzParseSince(f *testing.F) {
	for _, text := range []string{"30d", "12h", "2026-11-01", "2026-11-01T09:00:00Z", "", "yesterday", "1d-1h", "9999-01-01", "-5h"} {
		f.Add(text)
	}
	now := time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		at, err := parseSince(text, now)
		switch {
		case err != nil && !strings.Contains(err.Error(), "fix: write"):
			t.Errorf("%q is refused without a fix: %v", text, err)
		case err == nil && (at.UnixNano() < 0 || at.Year() < 1970 || at.Year() > 2200):
			t.Errorf("%q is %v", text, at)
		}
	})
}

func TestSinceIsAgoADayOrAnInstant(t *testing.T) {
	seoul, err := schedule.Zone("Asia/Seoul")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 12, 1, 10, 0, 0, 0, seoul)
	for text, want := range map[string]string{
		"30d": "2026-11-01T10:00:00+09:00", "90m": "2026-12-01T08:30:00+09:00",
		"2026-11-01": "2026-11-01T00:00:00+09:00", "2026-11-01T09:00:00Z": "2026-11-01T09:00:00Z",
	} {
		if at, err := parseSince(text, now); err != nil || at.Format(time.RFC3339) != want {
			t.Errorf("%s is %v, %v, want %s", text, at, err, want)
		}
	}
}

// FuzzParseVerdict: a word is a verdict that is spelt so, or is refused.
func FuzzParseVerdict(f *testing.F) {
	for _, word := range []string{"pass", "not started", "not_started", "PASS", "", "unspecified", "9"} {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		v, err := parseVerdict(word)
		if err == nil && (v == pb.Verdict_VERDICT_UNSPECIFIED || verdictWord(v) != strings.ReplaceAll(strings.TrimSpace(word), " ", "_")) {
			t.Errorf("%q is %v", word, v)
		}
	})
}
