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
