package state

import (
	"hash/fnv"
	"iter"
	"slices"
)

const (
	// shelves and boxes are the two levels of a table: a change copies one list of
	// shelves, one of boxes, and the few entries of a box.
	shelves, boxes = 256, 64
)

// table is a map that never changes: with and without give a changed copy that
// shares almost everything with the one before, however many entries there are.
// The zero table is empty.
type table[V any] struct {
	size  int
	shelf *[shelves]*[boxes][]entry[V]
}

type entry[V any] struct {
	key   string
	value V
}

// tableOf is a table of what a map holds.
func tableOf[V any](m map[string]V) table[V] {
	var t table[V]
	for k, v := range m {
		t = t.with(k, v)
	}
	return t
}

func spot(key string) (s, b int) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	n := h.Sum32()
	return int(n % shelves), int(n / shelves % boxes)
}

// get is the value of a key; the zero value where there is none.
func (t table[V]) get(key string) (v V) {
	if t.shelf == nil {
		return v
	}
	s, b := spot(key)
	if t.shelf[s] == nil {
		return v
	}
	for _, e := range t.shelf[s][b] {
		if e.key == key {
			return e.value
		}
	}
	return v
}

// with is the table with a key set.
func (t table[V]) with(key string, v V) table[V] {
	next, box := t.open(key)
	if i := t.index(*box, key); i >= 0 {
		*box = slices.Clone(*box)
		(*box)[i].value = v
		return next
	}
	*box = append(slices.Clip(*box), entry[V]{key, v})
	next.size++
	return next
}

// without is the table with a key taken out.
func (t table[V]) without(key string) table[V] {
	next, box := t.open(key)
	i := t.index(*box, key)
	if i < 0 {
		return t
	}
	*box = slices.Delete(slices.Clone(*box), i, i+1)
	next.size--
	return next
}

func (t table[V]) index(box []entry[V], key string) int {
	return slices.IndexFunc(box, func(e entry[V]) bool { return e.key == key })
}

// open is a copy of the table whose box of a key may be replaced.
func (t table[V]) open(key string) (next table[V], box *[]entry[V]) {
	s, b := spot(key)
	shelf, row := new([shelves]*[boxes][]entry[V]), new([boxes][]entry[V])
	if t.shelf != nil {
		*shelf = *t.shelf
	}
	if shelf[s] != nil {
		*row = *shelf[s]
	}
	shelf[s] = row
	return table[V]{t.size, shelf}, &row[b]
}

// all are the entries, in an order that servers need not have in common: sort what
// is made of them.
func (t table[V]) all() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		if t.shelf == nil {
			return
		}
		for _, row := range t.shelf {
			if row == nil {
				continue
			}
			for _, box := range row {
				for _, e := range box {
					if !yield(e.key, e.value) {
						return
					}
				}
			}
		}
	}
}

// asMap is the table as a map of its own.
func (t table[V]) asMap() map[string]V {
	m := make(map[string]V, t.size)
	for k, v := range t.all() {
		m[k] = v
	}
	return m
}
