package host

// Spotless tells what the end of a step sees at a glance, for tests.
func Spotless(h *Real) bool { return h.spotless() }
