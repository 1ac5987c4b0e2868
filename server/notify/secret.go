package notify

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	pb "squall/proto/squall/v1"
)

// mostSecret is the longest secret, in bytes.
const mostSecret = 4096

// Secrets finds this server's secrets by name: a file of that name in its
// folder, or an environment variable. Values go into requests, to hosts that the
// same folder or environment names for each, and nowhere else.
type Secrets struct {
	// Dir is the folder; empty is none.
	Dir string
	// Env looks a variable up; nil is the process's own environment.
	Env func(name string) (string, bool)
}

// EnvOf is the variable that holds a secret. The prefix keeps sinks from
// everything else that a server's environment has.
func EnvOf(secret string) string {
	return "SQUALL_SECRET_" + strings.ToUpper(strings.ReplaceAll(secret, "-", "_"))
}

// Find is the value of a secret, without the white space around it. The error
// says where it was looked for.
func (s Secrets) Find(name string) (string, error) {
	if !plainName(name) {
		return "", fmt.Errorf("secret %q: no name of a secret", name)
	}
	value, err := s.text(name, EnvOf(name))
	if err != nil {
		return "", fmt.Errorf("secret %q: %w", name, err)
	}
	if value == "" {
		return "", fmt.Errorf("secret %q is not on this server: neither in %s nor in the variable %s", name, s.where(name), EnvOf(name))
	}
	return value, nil
}

// where tells where a file of the folder is looked for.
func (s Secrets) where(name string) string {
	if s.Dir == "" {
		return "a folder, since none is set"
	}
	return "the file " + filepath.Join(s.Dir, name)
}

// text is what a file of the folder says, or a variable where there is none,
// without the white space around it; empty where nothing says anything.
func (s Secrets) text(file, variable string) (string, error) {
	if s.Dir != "" {
		data, err := s.read(file, mostSecret)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		if value := strings.TrimSpace(string(data)); value != "" {
			return value, nil
		}
	}
	look := s.Env
	if look == nil {
		look = os.LookupEnv
	}
	value, _ := look(variable)
	return strings.TrimSpace(value), nil
}

// Missing says what this server lacks to tell a sink, with the fix: a secret,
// leave to send it there, or authorities; empty for nothing.
func (s Secrets) Missing(sink *pb.Sink) (why string) {
	if _, err := s.means(sink); err != nil {
		return told(err)
	}
	if _, err := s.roots(sink.GetCaFile()); err != nil {
		return told(err)
	}
	return ""
}
