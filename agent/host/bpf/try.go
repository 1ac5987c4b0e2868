package bpf

// Try does one mechanism in a namespace of its own and ends it: silence,
// dns.drop, delay.line or hold.exec. Detail names the engine.
func (k *Kit) Try(name string) (detail string, err error) { return "", ErrUnsupported }
