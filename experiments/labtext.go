package experiments

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"

	pb "squall/proto/squall/v1"
)

// LabTexts puts each text of a lab's workload in which a ${…} stands for a
// value through change, which is told its place below the workload. What checks
// a lab file and what fills it in both come here.
func LabTexts(w *pb.Workload, change func(at, text string) string) {
	for i, arg := range w.GetStart() {
		w.Start[i] = change(fmt.Sprintf("start[%d]", i), arg)
	}
	for key, value := range w.GetEnv() {
		w.Env[key] = change("env."+key, value)
	}
	if w.GetDir() != "" {
		w.Dir = change("dir", w.GetDir())
	}
	for i, f := range w.GetFiles() {
		if f.GetFrom() == "" { // others' bytes are taken as they are
			f.Content = change(fmt.Sprintf("files[%d].content", i), f.GetContent())
		}
	}
	textsBelow("ready", w.GetReady().ProtoReflect(), change)
}

// LabCommandTexts does the same with a command of a lab's host.
func LabCommandTexts(c *pb.HostCommand, change func(at, text string) string) {
	for i, arg := range c.GetArgv() {
		c.Argv[i] = change(fmt.Sprintf("argv[%d]", i), arg)
	}
}

// textsBelow puts every text of a message through change.
func textsBelow(at string, m protoreflect.Message, change func(at, text string) string) {
	if !m.IsValid() {
		return
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		place := join(at, string(f.Name()))
		switch {
		case f.IsList() && f.Kind() == protoreflect.StringKind:
			list := m.Mutable(f).List()
			for i := range list.Len() {
				list.Set(i, protoreflect.ValueOfString(change(fmt.Sprintf("%s[%d]", place, i), list.Get(i).String())))
			}
		case f.IsList() || f.IsMap():
		case f.Kind() == protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString(change(place, v.String())))
		case f.Kind() == protoreflect.MessageKind:
			textsBelow(place, v.Message(), change)
		}
		return true
	})
}
