//go:build linux

package lab

import (
	"net"
	"os"
	"os/exec"
)

// owner is another process that holds a connection.
type owner struct{ *exec.Cmd }

// Close kills the process, if it has not been killed before.
func (o owner) Close() error {
	if o.ProcessState != nil {
		return nil
	}
	err := o.Process.Kill()
	_ = o.Wait() // reports the kill
	return err
}

// Hand gives a connection to another process, which then is its only owner.
func (b *Bench) Hand(c *net.TCPConn) owner {
	f, err := c.File()
	b.Must(err)
	o := owner{exec.Command("sleep", "120")} // it need only exist
	o.ExtraFiles = []*os.File{f}
	b.Must(o.Start())
	b.Keep(o)
	b.Must(f.Close())
	b.Close(c)
	return o
}
