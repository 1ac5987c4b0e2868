package observe

// Figures are the names of all that is read from a sight.
func Figures() []string {
	var all []string
	for _, f := range table {
		all = append(all, f.name)
	}
	return all
}
