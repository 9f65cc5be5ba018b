package main

import (
	"errors"
	"os"
	"runtime"
	"runtime/pprof"
)

// startProfiles begins what the hidden flags --cpu-profile and --mem-profile
// ask for, for those who make the program faster. The result ends it, and
// writes what the heap holds at that time.
func startProfiles(cfg *config) (end func() error, err error) {
	var cpu *os.File
	if cfg.cpuProfile != "" {
		if cpu, err = os.Create(cfg.cpuProfile); err != nil {
			return nil, err
		}
		if err = pprof.StartCPUProfile(cpu); err != nil {
			return nil, err
		}
	}
	return func() (err error) {
		if cpu != nil {
			pprof.StopCPUProfile()
			err = cpu.Close()
		}
		return errors.Join(err, heapProfile(cfg.memProfile))
	}, nil
}

func heapProfile(name string) error {
	if name == "" {
		return nil
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	runtime.GC() // the profile is of the last collection
	return errors.Join(pprof.WriteHeapProfile(f), f.Close())
}
