package main

import (
	"errors"
	"fmt"
	"strings"
)

// listFlag is a flag that takes several values: given again, or with commas
// between them, the same everywhere.
type listFlag []string

// Set adds what a flag is given.
func (l *listFlag) Set(text string) error {
	for _, entry := range strings.Split(text, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			return fmt.Errorf("an entry of the list is empty: write a,b or give the flag twice")
		}
		*l = append(*l, entry)
	}
	return nil
}

// String is its default's text: none.
func (l *listFlag) String() string { return strings.Join(*l, ",") }

// Type is what help calls its value.
func (l *listFlag) Type() string { return "list" }

func (l *listFlag) values() []string { return *l }

// onceFlag is a flag that takes one value: of two, one would be ignored.
type onceFlag struct {
	text  string
	given bool
}

// Set takes the value.
func (o *onceFlag) Set(text string) error {
	if o.given {
		return errors.New("the flag is given twice: leave one out")
	}
	o.text, o.given = text, true
	return nil
}

// String is its default's text: none.
func (o *onceFlag) String() string { return o.text }

// Type is what help calls its value.
func (o *onceFlag) Type() string { return "value" }

func (o *onceFlag) values() []string {
	if !o.given {
		return nil
	}
	return []string{o.text}
}
