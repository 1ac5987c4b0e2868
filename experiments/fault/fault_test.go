package fault

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/experiments/internal/spell"
	pb "squall/proto/squall/v1"
)

// wholeHosts are the parts of a target that select whole hosts. Every other
// part must have an entry in every kind's Narrows.
var wholeHosts = []string{"zone", "room", "role", "host", "labels", "exclude", "pick"}

// TestEveryKindSaysEverything: a kind is a name of the proto, listed once, and
// no field of its value is left out.
func TestEveryKindSaysEverything(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range kinds {
		if !slices.Contains(All(), k.Name) || seen[k.Name] {
			t.Errorf("%q is no kind of the proto, or stands twice", k.Name)
		}
		seen[k.Name] = true
		value := reflect.ValueOf(*k)
		for i := range value.NumField() {
			if name := value.Type().Field(i).Name; value.Field(i).IsZero() {
				t.Errorf("%s says nothing for %s", k.Name, name)
			}
		}
		for _, sentence := range []string{k.Begins, k.Ends} {
			if !strings.HasSuffix(sentence, ".") {
				t.Errorf("%s: %q is no sentence", k.Name, sentence)
			}
		}
	}
}

// TestNoFaultIgnoresAPartOfItsTarget: whatever selects less than whole hosts
// narrows a fault, or the fault says why it can't.
func TestNoFaultIgnoresAPartOfItsTarget(t *testing.T) {
	parts := (&pb.Target{}).ProtoReflect().Descriptor().Fields()
	for _, k := range kinds {
		for i := range parts.Len() {
			part := spell.Key(parts.Get(i))
			if _, ok := k.Narrows[part]; ok == slices.Contains(wholeHosts, part) {
				t.Errorf("%s: entry of %s in Narrows: %t", k.Name, part, ok)
			}
		}
	}
}

// TestLacksNameRealKeys: a lack that names no key, or a word that there is
// not, would hide nothing. A message that two kinds share can't be lacking in one.
func TestLacksNameRealKeys(t *testing.T) {
	for _, k := range kinds {
		f, _ := New(k.Name)
		for _, l := range k.Lacks {
			_, fd := below(Body(f).ProtoReflect(), l.Field)
			switch {
			case fd == nil:
				t.Errorf("%s has no key %s", k.Name, l.Field)
			case l.Fix == "" || l.What == "" && fd.Enum() == nil:
				t.Errorf("%s: the lack of %s is not told", k.Name, l.Field)
			case fd.Enum() != nil && !slices.Contains(words(fd.Enum()), l.Only):
				t.Errorf("%s: %s has no word %q", k.Name, l.Field, l.Only)
			case users(fd.ContainingMessage()) != 1:
				t.Errorf("%s: %s is a key of %d kinds", k.Name, l.Field, users(fd.ContainingMessage()))
			}
		}
	}
}

func words(ed protoreflect.EnumDescriptor) []string {
	var all []string
	for i := range ed.Values().Len() {
		all = append(all, spell.Word(ed.Values().Get(i)))
	}
	return all
}

// users counts the kinds whose messages hold md.
func users(md protoreflect.MessageDescriptor) int {
	n := 0
	for _, name := range All() {
		f, _ := New(name)
		if holds(Body(f).ProtoReflect().Descriptor(), md) {
			n++
		}
	}
	return n
}

func holds(md, wanted protoreflect.MessageDescriptor) bool {
	if md == wanted {
		return true
	}
	for i := range md.Fields().Len() {
		if below := md.Fields().Get(i).Message(); below != nil && holds(below, wanted) {
			return true
		}
	}
	return false
}

// TestTextsReadWell: no text of a kind begins or ends with a blank where a
// value is left out.
func TestTextsReadWell(t *testing.T) {
	for _, k := range kinds {
		f, _ := New(k.Name)
		for _, text := range []string{k.Magnitude(f), k.Undone(&Scene{Fault: f, Hosts: 1})} {
			if text == "" || strings.Contains(text, "1 hosts") {
				t.Errorf("%s reads %q", k.Name, text)
			}
		}
	}
}
