package server

import "testing"

// TestDigestMayBeGivenAsItIsShown holds that plan's twelve characters name a
// plan, and fewer do not.
func TestDigestMayBeGivenAsItIsShown(t *testing.T) {
	const digest = "0123456789abcdef"
	for given, want := range map[string]bool{
		digest: true, digest[:shownDigest]: true, digest[:shownDigest-1]: false, "0123456789ac": false,
	} {
		if samePlan(given, digest) != want {
			t.Errorf("%q names the plan: %t", given, !want)
		}
	}
}
