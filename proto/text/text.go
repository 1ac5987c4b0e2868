// Package text keeps what people and machines write from harming whoever reads
// it: no text of a message may hold what a terminal obeys, or be cut inside a
// letter.
//
// What people send is refused with its place; what machines send is mended, for
// a bad name on a host is no reason to lose the host. And it has the words that
// people read for what messages hold as numbers.
package text

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Most is how many bytes one text may have.
const Most = 64 << 10

// Legible tells whether a terminal shows a character and does not obey it.
// Line feeds and tabs count as legible.
func Legible(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return true
	case r == 0x2028 || r == 0x2029 || r == 0xfeff || unicode.Is(unicode.Bidi_Control, r):
		return false
	}
	return !unicode.IsControl(r)
}

// sent are the fields whose text goes to a program as it stands: PING\r\n. They
// may hold any character.
var sent = map[protoreflect.FullName]bool{"squall.v1.TCPProbe.send": true, "squall.v1.TCPProbe.expect": true}

// Sent tells whether a field's text goes to a program, and to no terminal.
func Sent(fd protoreflect.FieldDescriptor) bool { return sent[fd.FullName()] }

// Clean is a text with everything replaced that is not legible, cut at Most
// bytes, and never inside a letter.
func Clean(s string) string {
	if len(s) > Most {
		s = s[:Most]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		s = strings.TrimRightFunc(s, func(r rune) bool { return r == utf8.RuneError })
	}
	return Harmless(s)
}

// Cut is a text of so many bytes at most, whole characters, with … where it is
// cut.
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	const more = "…"
	end := max(0, most-len(more))
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + more
}

// Harmless is a text with everything replaced that is not legible, one character
// by one.
func Harmless(s string) string {
	return strings.Map(func(r rune) rune {
		if Legible(r) {
			return r
		}
		return utf8.RuneError
	}, s)
}

// Check refuses a message with a text that is too long or not legible. The
// error names the field. A field that is Sent may hold any character.
func Check(m proto.Message) error {
	var found error
	walk(m.ProtoReflect(), "", func(path, s string) string {
		if found == nil {
			found = check(path, s)
		}
		return s
	})
	return found
}

func check(path, s string) error {
	if len(s) > Most {
		return fmt.Errorf("%s: the text has %d bytes, and may have %d", path, len(s), Most)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s: the text is not UTF-8", path)
	}
	for _, r := range s {
		if !Legible(r) {
			return fmt.Errorf("%s: the text holds the character %U", path, r)
		}
	}
	return nil
}

// CleanMessage makes every text of a message clean, in place. Keys of maps that
// are not are dropped with their entries.
func CleanMessage(m proto.Message) {
	walk(m.ProtoReflect(), "", func(_, s string) string { return Clean(s) })
}

// walk replaces every text of a message by what see makes of it.
func walk(m protoreflect.Message, path string, see func(path, s string) string) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		at := strings.TrimPrefix(path+"."+string(fd.Name()), ".")
		switch {
		case fd.IsMap():
			walkMap(fd, v.Map(), at, see)
		case fd.IsList() && (fd.Kind() == protoreflect.StringKind || fd.Message() != nil):
			walkList(fd, v.List(), at, see)
		case fd.IsList(): // of numbers
		case fd.Kind() == protoreflect.StringKind:
			s := v.String()
			if Sent(fd) && see(at, Harmless(s)) == Harmless(s) {
				break
			}
			if see(at, s) != s {
				m.Set(fd, protoreflect.ValueOfString(see(at, s)))
			}
		case fd.Message() != nil:
			walk(v.Message(), at, see)
		}
		return true
	})
}

func walkList(fd protoreflect.FieldDescriptor, list protoreflect.List, path string, see func(path, s string) string) {
	for i := range list.Len() {
		at := fmt.Sprintf("%s[%d]", path, i)
		if fd.Message() != nil {
			walk(list.Get(i).Message(), at, see)
		} else if s := list.Get(i).String(); see(at, s) != s {
			list.Set(i, protoreflect.ValueOfString(see(at, s)))
		}
	}
}

func walkMap(fd protoreflect.FieldDescriptor, entries protoreflect.Map, path string, see func(path, s string) string) {
	entries.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		at := path + "[" + fmt.Sprintf("%q", k.String()) + "]"
		if fd.MapKey().Kind() == protoreflect.StringKind && see(at, k.String()) != k.String() {
			entries.Clear(k)
			return true
		}
		switch {
		case fd.MapValue().Kind() == protoreflect.StringKind:
			if s := v.String(); see(at, s) != s {
				entries.Set(k, protoreflect.ValueOfString(see(at, s)))
			}
		case fd.MapValue().Message() != nil:
			walk(v.Message(), at, see)
		}
		return true
	})
}
