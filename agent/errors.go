package agent

import "errors"

var (
	// errDied says that the worker's process has ended.
	errDied = errors.New("worker died")
	// errHung says that the worker lives and does not do its work.
	errHung = errors.New("worker hangs")
	// errOrphaned says that the supervisor is gone.
	errOrphaned = errors.New("supervisor is gone")
)
