package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"squall/agent/host"
	pb "squall/proto/squall/v1"
)

// data is the folder of a workload.
func (v words) data(w *pb.Workload) string {
	return filepath.Join(v.folder.Data(v.host.Name), w.GetName())
}

// writeData makes the workload's folder and the files in it. They belong to the
// account that the workload runs as.
func (v words) writeData(w *pb.Workload) error {
	o := owner{os.Geteuid(), os.Getegid()}
	if w.GetUser() != "" {
		account, err := host.LookUpAccount(w.GetUser())
		if err != nil {
			return err
		}
		if barred := reachable(string(v.folder)); barred != "" {
			return fmt.Errorf("user %s can't pass %s, in which the lab's folder is; set TMPDIR to a folder that all may pass", w.GetUser(), barred)
		}
		o = owner{int(account.UID), int(account.GID)}
	}
	// What leads to the folder is passed by all, and read by root alone.
	if err := os.MkdirAll(v.folder.Data(v.host.Name), 0o711); err != nil {
		return err
	}
	if err := o.mkdir(v.data(w)); err != nil {
		return err
	}
	for _, f := range w.GetFiles() {
		if err := v.writeFile(w, f, o); err != nil {
			return fmt.Errorf("file %s: %w", f.GetPath(), err)
		}
	}
	return nil
}

func (v words) writeFile(w *pb.Workload, f *pb.LabFile, o owner) error {
	content, err := f.GetContent(), error(nil)
	if f.GetFrom() == "" { // others' bytes are taken as they are
		content, err = v.replace(content, v.data(w))
	}
	mode, modeErr := strconv.ParseUint(f.GetMode(), 8, 32)
	if f.GetMode() == "" {
		mode, modeErr = 0o600, nil
	}
	if err := errors.Join(err, modeErr); err != nil {
		return err
	}
	path := filepath.Join(v.data(w), f.GetPath())
	if err := o.mkdirAll(filepath.Dir(path), v.data(w)); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(content), os.FileMode(mode)); err != nil {
		return err
	}
	return errors.Join(os.Chmod(path, os.FileMode(mode)), os.Chown(path, o.uid, o.gid))
}

// owner is whom folders and files are made for.
type owner struct{ uid, gid int }

// mkdirAll makes the folders from top, which is there, down to dir.
func (o owner) mkdirAll(dir, top string) error {
	if dir == top || !within(dir, top) {
		return nil
	}
	if err := o.mkdirAll(filepath.Dir(dir), top); err != nil {
		return err
	}
	return o.mkdir(dir)
}

func (o owner) mkdir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.Chown(dir, o.uid, o.gid)
}
