//go:build linux

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace without a name. It lives as long as this
// process holds it, so that nothing is left behind however the process ends.
type Namespace struct{ file *os.File }

// hashEntries is the size of each namespace's own table of established
// sockets. Listing the sockets of a namespace walks the whole table; the one
// that namespaces share by default is a hundred times larger.
const hashEntries = "1024"

// NewNamespace makes an empty network namespace. It needs CAP_SYS_ADMIN.
func NewNamespace() (*Namespace, error) {
	var ns *Namespace
	err := onThread(func() error {
		// The size of a table is inherited from the namespace that makes the
		// next one, hence two steps (tcp_child_ehash_entries, Linux 6.1).
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("making a network namespace: %w (it needs root)", err)
		}
		if err := writeSysctl("net.ipv4.tcp_child_ehash_entries", hashEntries); err != nil {
			return err
		}
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("making a network namespace: %w", err)
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return fmt.Errorf("holding the network namespace: %w", err)
		}
		ns = &Namespace{f}
		return nil
	})
	return ns, err
}

// onThread runs f on an operating system thread of its own, which ends with f
// because its namespace may no longer be the one of the process.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread
		done <- f()
	}()
	return <-done
}

// Do runs f on a thread inside the namespace. Sockets that f opens and
// commands that it starts belong to the namespace; goroutines do not.
func (n *Namespace) Do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering the network namespace: %w", err)
		}
		return f()
	})
}

// Run executes a command inside the namespace with input on its standard
// input; an error quotes what the command said.
func (n *Namespace) Run(input, name string, args ...string) error {
	return n.Do(func() error {
		cmd := exec.Command(name, args...)
		cmd.Stdin = strings.NewReader(input)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", cmd, err, strings.TrimSpace(string(out)))
		}
		return nil
	})
}

// Sysctl sets a parameter of the namespace: its dotted name under net, such
// as "net.ipv4.tcp_fin_timeout".
func (n *Namespace) Sysctl(name, value string) error {
	return n.Do(func() error { return writeSysctl(name, value) })
}

func writeSysctl(name, value string) error {
	path := filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		return fmt.Errorf("setting %s: %w", name, err)
	}
	return nil
}

// Close lets go of the namespace; the kernel frees it when its last socket
// and process are gone.
func (n *Namespace) Close() error { return n.file.Close() }
