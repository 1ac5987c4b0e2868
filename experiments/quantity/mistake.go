// Package quantity reads and prints values as people write them: lengths of
// time, shares, rates, sizes, amounts, moments and magnitudes, each with its
// unit.
//
// It is pure. What one function prints the other reads as the same value, and
// a text that is no value gets an error with the fix, never a guess.
package quantity

import (
	"fmt"
	"strconv"
)

// Mistake is a wrong text and its fix, before anybody knows where it stands.
type Mistake struct {
	// Message says what is wrong, Fix how to put it right.
	Message, Fix string
}

// Error is the message and the fix.
func (m *Mistake) Error() string { return m.Message + ": " + m.Fix }

// Mistakef is a Mistake with a formatted message.
func Mistakef(fix, format string, args ...any) error {
	return &Mistake{Message: fmt.Sprintf(format, args...), Fix: fix}
}

// Quoted is user text in quotes, of at most 60 characters and without control
// characters.
func Quoted(text string) string {
	const most = 60
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return strconv.Quote(text)
}
