package notify

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// mostRoots is how large a file of authorities may be, in bytes.
const mostRoots = 1 << 20

// fileName tells whether a name can be that of a file of authorities: a name of
// a secret, with dots besides.
func fileName(name string) bool {
	return plainName(strings.ReplaceAll(name, ".", "-"))
}

// read is what a file of the folder holds. Whoever puts a sink chooses the file,
// so that it is a regular one, is not too large, and opening it waits for nobody.
func (s Secrets) read(name string, most int) ([]byte, error) {
	f, err := os.OpenFile(filepath.Join(s.Dir, name), os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err == nil && len(data) > most {
		err = fmt.Errorf("the file has more than %d bytes", most)
	}
	return data, err
}

// roots are the authorities in a file of the folder; nil is the system's. Whatever
// is wrong with the file is told in the same words: whoever puts a sink is to
// learn nothing of other files.
func (s Secrets) roots(name string) (*x509.CertPool, error) {
	if name == "" {
		return nil, nil
	}
	roots := x509.NewCertPool()
	if s.Dir != "" && fileName(name) {
		if data, err := s.read(name, mostRoots); err == nil && roots.AppendCertsFromPEM(data) {
			return roots, nil
		}
	}
	return nil, &Failure{
		Why: fmt.Sprintf("this server has no certificates in a file %.80q of its folder of secrets", name),
		Fix: "put them there in PEM, on each server, readable to it; the folder is its setting notify.secrets",
	}
}
