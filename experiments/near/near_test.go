package near

import "testing"

func TestNameFindsWhatWasMeant(t *testing.T) {
	names := []string{"zone-a", "zone-b", "checkout", "success"}
	for word, want := range map[string]string{
		"chekout": "checkout", "succses": "success", "scucess": "success", "zone-x": "zone-a", "primary": "", "": "",
	} {
		if got := Name(word, names); got != want {
			t.Errorf("Name(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestFixTellsSeveralInOneWordApart(t *testing.T) {
	names := []string{"zone-a", "zone-b"}
	for word, want := range map[string]string{
		"zone-a,zone-b":   "write each as an entry of its own: [zone-a, zone-b]",
		"zone-b, zone-a ": "write each as an entry of its own: [zone-b, zone-a]",
		"zone-a,east":     "write one of: zone-a, zone-b",
		"zone-c":          `did you mean "zone-a" or "zone-b"?`,
	} {
		if got := Fix(word, "zone", names); got != want {
			t.Errorf("Fix(%q) = %q, want %q", word, got, want)
		}
	}
}
