package schedule

import (
	"runtime"
	"sync"
	"weak"
)

// A memo keeps what was read of messages that never change, each for as long as
// its message is kept: one takes another one's place where it would change. What
// is kept must not hold the message. The zero value is ready, and safe for
// concurrent use.
type memo[M, V any] struct {
	known sync.Map // weak.Pointer[M] to *V
}

// of is what read makes of a message. Errors are not kept.
func (k *memo[M, V]) of(message *M, read func(*M) (*V, error)) (*V, error) {
	key := weak.Make(message)
	if v, is := k.known.Load(key); is {
		return v.(*V), nil
	}
	v, err := read(message)
	if err != nil {
		return nil, err
	}
	if first, raced := k.known.LoadOrStore(key, v); raced {
		return first.(*V), nil
	}
	runtime.AddCleanup(message, func(key weak.Pointer[M]) { k.known.Delete(key) }, key)
	return v, nil
}
