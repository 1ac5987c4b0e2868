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
// folder, or an environment variable. Values go into requests and nowhere else.
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
	value, err := s.file(name)
	if err != nil {
		return "", err
	}
	if value == "" {
		value = s.env(name)
	}
	if value == "" {
		return "", fmt.Errorf("secret %q is not on this server: neither in %s nor in the variable %s", name, s.where(name), EnvOf(name))
	}
	return value, nil
}

func (s Secrets) where(name string) string {
	if s.Dir == "" {
		return "a folder, since none is set"
	}
	return "the file " + filepath.Join(s.Dir, name)
}

func (s Secrets) env(name string) string {
	look := s.Env
	if look == nil {
		look = os.LookupEnv
	}
	value, _ := look(EnvOf(name))
	return strings.TrimSpace(value)
}

// file is empty where there is none.
func (s Secrets) file(name string) (string, error) {
	if s.Dir == "" {
		return "", nil
	}
	data, err := s.read(name, mostSecret)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("secret %q: %w", name, err)
	}
	return strings.TrimSpace(string(data)), nil
}

// named are the names of the secrets of a sink.
func named(s *pb.Sink) (names []string) {
	for _, name := range []string{s.GetUrlSecret(), s.GetSignSecret(), s.GetTokenSecret()} {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

// Missing says what this server lacks to tell a sink, of its secrets and its
// authorities; empty for nothing.
func (s Secrets) Missing(sink *pb.Sink) (why string) {
	for _, name := range named(sink) {
		if _, err := s.Find(name); err != nil {
			return err.Error()
		}
	}
	if _, err := s.roots(sink.GetCaFile()); err != nil {
		return err.Error()
	}
	return ""
}

// scrub takes secrets out of a text.
func scrub(text string, secrets ...string) string {
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "…")
		}
	}
	return text
}
