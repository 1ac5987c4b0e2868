package host

import "strings"

// printable makes a string valid UTF-8 that was read from the machine: names of
// processes may be anything, cut anywhere, and a message that isn't valid cuts
// the agent off.
func printable(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
