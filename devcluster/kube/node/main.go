// node is the first process of a node of the dev cluster: it builds the node's file system, starts the
// node's processes, restarts those that end and reaps what they leave behind.
//
// It must be started as process 1 of fresh pid and mount namespaces (unshare --pid --mount --fork). When it
// dies the kernel kills everything else in the pid namespace and drops the mounts: a node leaves nothing.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"syscall"
)

// Spec is the node's description, written by devcluster/node.py.
type Spec struct {
	Hostname  string            `json:"hostname"`
	Cgroups   []string          `json:"cgroups"`   // directories below the machine's /sys/fs/cgroup to join
	Root      string            `json:"root"`      // empty directory of the machine that the new root is mounted on
	Mounts    []Mount           `json:"mounts"`    // in order, targets below the new root
	Symlinks  map[string]string `json:"symlinks"`  // path below the new root -> link text
	Processes []Process         `json:"processes"` // started in order
}

// Mount is one mount below the new root; its target is made when it is missing.
type Mount struct {
	Source   string `json:"source"`
	Target   string `json:"target"`
	Type     string `json:"type"` // "bind" (recursive) or a file system
	Options  string `json:"options"`
	ReadOnly bool   `json:"readOnly"`
}

func main() {
	log.SetFlags(log.LstdFlags | log.LUTC)
	log.SetPrefix("node: ")
	if len(os.Args) != 2 {
		log.Fatal("usage: node SPEC.json")
	}
	spec, err := read(os.Args[1])
	if err == nil {
		err = enter(spec)
	}
	if err != nil {
		log.Fatal(err)
	}
	newSupervisor(spec.Processes).run()
}

func read(path string) (*Spec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	spec := &Spec{}
	if err := json.Unmarshal(data, spec); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return spec, nil
}

// enter joins the node's cgroups and makes the spec's root the file system of this process and its children.
func enter(spec *Spec) error {
	if os.Getpid() != 1 {
		return fmt.Errorf("this is process %d, not 1 of a pid namespace of its own", os.Getpid())
	}
	for _, dir := range spec.Cgroups {
		// "0" is the writer itself, whatever its number in the cgroup file system's pid namespace.
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0o644); err != nil {
			return fmt.Errorf("join the cgroup %s: %w", dir, err)
		}
	}
	if err := syscall.Sethostname([]byte(spec.Hostname)); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make / private: %w", err)
	}
	if err := syscall.Mount("root", spec.Root, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount the root at %s: %w", spec.Root, err)
	}
	for path, text := range spec.Symlinks {
		if err := os.Symlink(text, filepath.Join(spec.Root, path)); err != nil {
			return err
		}
	}
	for _, mount := range spec.Mounts {
		if err := mount.apply(spec.Root); err != nil {
			return fmt.Errorf("mount %s at %s: %w", mount.Source, mount.Target, err)
		}
	}
	return pivot(spec.Root)
}

func (m Mount) apply(root string) error {
	target := filepath.Join(root, m.Target)
	if m.Type != "bind" {
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		return syscall.Mount(m.Source, target, m.Type, 0, m.Options)
	}
	if err := makeTarget(m.Source, target); err != nil {
		return err
	}
	if err := syscall.Mount(m.Source, target, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
		return err
	}
	if !m.ReadOnly {
		return nil
	}
	return syscall.Mount("", target, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
}

// makeTarget makes the file or directory that source is going to be mounted on.
func makeTarget(source, target string) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.MkdirAll(target, 0o755)
	}
	if _, err := os.Stat(target); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(target, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	return file.Close()
}

func pivot(root string) error {
	old := filepath.Join(root, "machine")
	if err := os.Mkdir(old, 0o700); err != nil {
		return err
	}
	if err := syscall.PivotRoot(root, old); err != nil {
		return fmt.Errorf("pivot_root to %s: %w", root, err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := syscall.Unmount("/machine", syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("detach the machine's root: %w", err)
	}
	if err := os.Remove("/machine"); err != nil {
		return err
	}
	// Mounts must travel between the kubelet and containers (mountPropagation: Bidirectional), as on a
	// machine run by systemd.
	return syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, "")
}
