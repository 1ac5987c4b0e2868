package experiments

import (
	_ "embed"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// described is the descriptors with their comments, which generated code does not carry.
//
//go:embed descriptor.binpb
var described []byte

var describedFiles = sync.OnceValues(func() (*protoregistry.Files, error) {
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(described, set); err != nil {
		return nil, err
	}
	return protodesc.FileOptions{AllowUnresolvable: true}.NewFiles(set)
})

// comment is what the proto file says of a field, message or enum value; empty when it says nothing.
func comment(d protoreflect.Descriptor) string {
	files, err := describedFiles()
	if err != nil {
		return ""
	}
	with, err := files.FindDescriptorByName(d.FullName())
	if err != nil {
		return ""
	}
	says := with.ParentFile().SourceLocations().ByDescriptor(with).LeadingComments
	return strings.Join(strings.Fields(says), " ")
}

// firstSentence is the text up to its first full stop, without it.
func firstSentence(text string) string {
	if end := strings.Index(text, ". "); end >= 0 {
		text = text[:end]
	}
	return strings.TrimSuffix(text, ".")
}

// lowerFirst begins a sentence's part with a small letter, but leaves names such as ARP alone.
func lowerFirst(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	second, _ := utf8.DecodeRuneInString(text[size:])
	if unicode.IsUpper(second) {
		return text
	}
	return string(unicode.ToLower(first)) + text[size:]
}
