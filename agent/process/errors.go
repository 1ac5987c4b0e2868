package process

import "errors"

var (
	// errDied says that the worker's process has ended.
	errDied = errors.New("worker died")
	// errHung says that the worker lives and does not do its work.
	errHung = errors.New("worker hangs")
	// ErrOrphaned says that the supervisor is gone.
	ErrOrphaned = errors.New("supervisor is gone")
)
