package text_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

func TestWordsOfEnums(t *testing.T) {
	for e, want := range map[protoreflect.Enum]string{
		pb.StepState_STEP_STATE_HELD:          "held",
		pb.Refusal_REFUSAL_EMPTY_TARGET:       "empty target",
		pb.EndCause_END_CAUSE_UNSPECIFIED:     "unspecified",
		pb.Undeclared(99):                     "99",
		pb.AbilityState_ABILITY_STATE_MISSING: "missing",
	} {
		if got := text.Word(e); got != want {
			t.Errorf("%v reads %q, want %q", e, got, want)
		}
	}
}

// TestEveryEnumHasWords: the prefix is that of the first value, so that one has
// to be UNSPECIFIED.
func TestEveryEnumHasWords(t *testing.T) {
	files := pb.File_squall_v1_state_proto.Imports()
	for i := range files.Len() {
		enums := files.Get(i).Enums()
		for j := range enums.Len() {
			if first := string(enums.Get(j).Values().Get(0).Name()); !strings.HasSuffix(first, "_UNSPECIFIED") {
				t.Errorf("%s begins with %s", enums.Get(j).FullName(), first)
			}
		}
	}
}

func TestCutKeepsWholeCharacters(t *testing.T) {
	for _, c := range []struct {
		whole string
		most  int
		want  string
	}{{"abc", 3, "abc"}, {"abcdef", 5, "ab…"}, {"ääää", 6, "ä…"}, {"ääää", 8, "ääää"}, {"ab", 1, "…"}, {"", 0, ""}} {
		if got := text.Cut(c.whole, c.most); got != c.want {
			t.Errorf("%q at %d: %q", c.whole, c.most, got)
		}
	}
}
