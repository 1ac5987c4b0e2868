package experiments

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/experiments/internal/spell"
)

// elsewhere are words that people bring from other tools, and ours.
var elsewhere = map[string]string{
	"actions": "faults", "attack": "faults", "description": "title", "duration": "for", "end": "until",
	"length": "for", "on": "target", "rollback": "revert", "rollbacks": "revert", "selector": "target",
	"service": "workload", "services": "workloads", "start": "at", "steps": "faults", "stop_conditions": "abort",
	"command": "start", "latency": "delay", "environment": "env", "roles": "role", "id": "name",
}

// unknownKey says what a key that is none of the map's was probably meant to be.
func (d *decoder) unknownKey(key *yaml.Node, scopes []scope) {
	at := scopes[0].at
	message := fmt.Sprintf("unknown key %s in %s", quoted(key.Value), at)
	d.badNode(at.entry(key.Value), key, message, d.keyFix(key.Value, scopes))
	if in, fd := find(meant(key.Value, scopes), scopes); fd != nil {
		d.wrong[in.at.key(spell.Key(fd)).path] = true
	}
	if at.path == "" {
		d.misplaced = true
	}
}

func (d *decoder) keyFix(key string, scopes []scope) string {
	if ours := elsewhere[key]; slices.Contains(siblings(scopes), ours) {
		return "did you mean " + quoted(ours) + "?"
	}
	if below := holder(key, scopes); below != "" {
		return "put it under " + quoted(below)
	}
	for i := len(d.around) - 1; i >= 0; i-- {
		if spell.ByKey(d.around[i].msg.Descriptor(), key) != nil {
			return fmt.Sprintf("put it in %s, further out", d.around[i].at)
		}
	}
	return suggest(key, siblings(scopes))
}

// meant is the key of the scopes that a misspelt one stands for, empty when there is none.
func meant(key string, scopes []scope) string {
	if ours := elsewhere[key]; slices.Contains(siblings(scopes), ours) {
		return ours
	}
	return closest(key, siblings(scopes))
}

// holder is the section directly below the scopes that has the key.
func holder(key string, scopes []scope) string {
	for _, s := range scopes {
		for fd := range fields(s.msg.Descriptor()) {
			value := fd
			if fd.IsMap() {
				value = fd.MapValue()
			}
			if isSection(value) && spell.ByKey(value.Message(), key) != nil {
				return spell.Key(fd)
			}
		}
	}
	return ""
}

// inline reads a map with one key: the key chooses an arm of the inline field,
// and the keys below it belong to the arm or to the message around it.
func (d *decoder) inline(n *yaml.Node, m protoreflect.Message, fd protoreflect.FieldDescriptor, at where) {
	arms := keys(fd.Message())
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		d.wrongType(n, at, fmt.Sprintf("the name of a %s with its settings below it, as `%s: { … }`", fd.Name(), arms[0]))
		return
	}
	key, value := n.Content[0], n.Content[1]
	if len(n.Content) > 2 {
		d.oneKey(n, m, fd, at)
		return
	}
	arm := spell.ByKey(fd.Message(), key.Value)
	if arm == nil {
		d.badNode(at, key, fmt.Sprintf("unknown %s %s", fd.Name(), quoted(key.Value)), suggest(key.Value, arms))
		return
	}
	body := m.Mutable(fd).Message().Mutable(arm).Message()
	inner := at.key(key.Value)
	d.mark(inner, value)
	if value.Kind != yaml.MappingNode {
		d.noBody(key, value, m, inner)
		return
	}
	d.body(value, scope{body, inner}, scope{m, at})
}

// noBody reports a fault whose settings are not a map; none at all is what a
// list looks like when they are indented too little.
func (d *decoder) noBody(key, value *yaml.Node, m protoreflect.Message, at where) {
	if isNull(value) {
		d.badNode(at, key, quoted(key.Value)+" has no settings", fmt.Sprintf("write them below it, indented, or in braces: `%s: { target: …, for: … }`", key.Value))
		return
	}
	d.wrongType(value, at, "keys and values, such as "+someKeys(m.Descriptor()))
}

// oneKey explains a list item with more than one key.
func (d *decoder) oneKey(n *yaml.Node, m protoreflect.Message, fd protoreflect.FieldDescriptor, at where) {
	var first *yaml.Node
	for i := 0; i < len(n.Content); i += 2 {
		if spell.ByKey(fd.Message(), n.Content[i].Value) == nil {
			continue
		}
		if first != nil {
			second := n.Content[i]
			d.badNode(at, second, fmt.Sprintf("%s stands in the same entry as %s", quoted(second.Value), quoted(first.Value)), "begin each "+string(fd.Name())+" with a dash of its own")
			return
		}
		first = n.Content[i]
	}
	if first == nil {
		d.badNode(at, n, fmt.Sprintf("%s does not begin with the name of a %s", at, fd.Name()), fmt.Sprintf("write the name first and the rest below it: `%s: { %s: … }`", keys(fd.Message())[0], printable(n.Content[0].Value)))
		return
	}
	for i := 0; i < len(n.Content); i += 2 {
		if key := n.Content[i]; key != first {
			d.badNode(at, key, fmt.Sprintf("%s stands beside %s instead of below it", quoted(key.Value), quoted(first.Value)),
				fmt.Sprintf("indent it further than %s", quoted(strings.TrimSpace(first.Value))))
			return
		}
	}
}
