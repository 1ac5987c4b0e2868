package process

import "errors"

var (
	// errDied says that the worker's process has ended.
	errDied = errors.New("worker died")
	// errUnborn says that a worker ended before its first beat.
	errUnborn = errors.New("the worker can't start")
	// errHung says that the worker lives and does not do its work.
	errHung = errors.New("worker hangs")
	// ErrOrphaned says that the supervisor is gone.
	ErrOrphaned = errors.New("supervisor is gone")
)
