package bench

import (
	"context"
	_ "embed" // the C loop's source
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed cloop.c
var loopSource []byte

// CompileLoop compiles the C loop into dir and returns the program, which does
// not exist if there is an error.
func CompileLoop(ctx context.Context, dir string) (string, error) {
	source, program := filepath.Join(dir, "cloop.c"), filepath.Join(dir, "cloop")
	if err := os.WriteFile(source, loopSource, 0o644); err != nil {
		return program, err
	}
	if out, err := exec.CommandContext(ctx, "cc", "-O2", "-o", program, source).CombinedOutput(); err != nil {
		return program, fmt.Errorf("compiling the C loop: %w\n%s", err, out)
	}
	return program, nil
}
