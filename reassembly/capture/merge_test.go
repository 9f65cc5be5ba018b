package capture

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// pcapOf is a capture with a frame for each time, in seconds; its data is the
// frame's number.
func pcapOf(times ...uint32) []byte {
	b := pcapHead(le, pcapMicro, 2, 4, 96, 1)
	for i, at := range times {
		n := fmt.Sprint(i + 1)
		b = append(b, pcapRec(le, at, 0, uint32(len(n)), uint32(len(n)), nil, []byte(n))...)
	}
	return b
}

// place is where a frame of a merged reader comes from.
type place struct {
	File   int
	Number uint64
	Second int64
}

func merged(t testing.TB, m *Merged) []place {
	t.Helper()
	var all []place
	var f Frame
	for {
		err := m.Next(&f)
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if string(f.Data) != fmt.Sprint(f.Number) {
			t.Fatalf("frame %d of file %d has the data %q", f.Number, f.File, f.Data)
		}
		all = append(all, place{f.File, f.Number, f.At / sec})
	}
}

// The order of the sources is by first packet, then name, and the frames come
// by time, then source, then number.
func TestMerge(t *testing.T) {
	dir := t.TempDir()
	for name, times := range map[string][]uint32{
		"a": {5, 6, 9}, "b": {1, 6, 6, 7}, "c": {5, 5, 20}, "none": nil, "empty": {},
	} {
		os.WriteFile(filepath.Join(dir, name), pcapOf(times...), 0o644)
	}
	want := []place{
		{0, 1, 1}, {1, 1, 5}, {2, 1, 5}, {2, 2, 5}, {0, 2, 6}, {0, 3, 6}, {1, 2, 6}, {0, 4, 7}, {1, 3, 9}, {2, 3, 20},
	}
	for _, names := range [][]string{
		{"a", "b", "c", "none", "empty"}, {"none", "c", "b", "a", "empty"}, {"empty", "c", "none", "a", "b"},
	} {
		for i := range names {
			names[i] = filepath.Join(dir, filepath.Base(names[i]))
		}
		sources, err := OpenAll(names, Options{})
		if err != nil {
			t.Fatal(err)
		}
		m := Merge(sources...)
		if d := gocmp.Diff(want, merged(t, m)); d != "" {
			t.Errorf("%v (-want +got):\n%s", names, d)
		}
		var order []string
		for i, s := range m.Sources() {
			order = append(order, filepath.Base(s.Info().Name))
			if s.file != i || s.Info().Damage != nil {
				t.Errorf("source %d: file %d, %v", i, s.file, s.Info().Damage)
			}
		}
		if !slices.Equal(order, []string{"b", "a", "c", "empty", "none"}) {
			t.Errorf("order %v", order)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Sources that Open has opened, pipes among them, merge as files do.
func TestMergeOpened(t *testing.T) {
	a, err := Open("-", Options{Stdin: &trickle{pcapOf(3, 4), 5}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(writeFile(t, "b", gzipped(t, pcapOf(1, 3, 5))), Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []place{{0, 1, 1}, {0, 2, 3}, {1, 1, 3}, {1, 2, 4}, {0, 3, 5}}
	if d := gocmp.Diff(want, merged(t, Merge(a, b))); d != "" {
		t.Error(d)
	}
}

// A clock that steps back in one source delays no other, and that source's
// frames keep their order.
func TestMergeStepBack(t *testing.T) {
	a := writeFile(t, "a", pcapOf(1, 8, 2, 3, 9))
	b := writeFile(t, "b", pcapOf(4, 7, 8, 10))
	sources, err := OpenAll([]string{a, b}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []place{{0, 1, 1}, {1, 1, 4}, {1, 2, 7}, {0, 2, 8}, {0, 3, 2}, {0, 4, 3}, {1, 3, 8}, {0, 5, 9}, {1, 4, 10}}
	if d := gocmp.Diff(want, merged(t, Merge(sources...))); d != "" {
		t.Error(d)
	}
}

// What Merge returns is, for any sources: each source's frames in file order;
// all of them; ordered by (running latest time, source); the same for any
// order of the names.
func TestMergeProperties(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		files := rapid.SliceOfN(rapid.SliceOfN(rapid.Uint32Range(0, 12), 0, 8), 1, 6).Draw(rt, "times")
		var names []string
		for i, times := range files {
			name := filepath.Join(dir, fmt.Sprintf("%d.pcap", i))
			if err := os.WriteFile(name, pcapOf(times...), 0o644); err != nil {
				rt.Fatal(err)
			}
			names = append(names, name)
		}
		got := mergeNames(t, names)
		if d := gocmp.Diff(expectedMerge(files), got); d != "" {
			rt.Errorf("(-want +got):\n%s", d)
		}
		shuffled := rapid.Permutation(names).Draw(rt, "names")
		if d := gocmp.Diff(got, mergeNames(t, shuffled)); d != "" {
			rt.Errorf("in another order:\n%s", d)
		}
	})
}

func mergeNames(t testing.TB, names []string) []place {
	sources, err := OpenAll(names, Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := Merge(sources...)
	defer m.Close()
	return merged(t, m)
}

// expectedMerge says the same by sorting everything at once.
func expectedMerge(files [][]uint32) []place {
	type source struct{ name, first int }
	var sources []source
	for i, times := range files {
		first := math.MaxInt
		if len(times) > 0 {
			first = int(times[0])
		}
		sources = append(sources, source{i, first})
	}
	slices.SortFunc(sources, func(a, b source) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.name, b.name))
	})
	type keyed struct {
		place
		key uint32
	}
	var all []keyed
	for file, s := range sources {
		key := uint32(0)
		for i, at := range files[s.name] {
			key = max(key, at)
			all = append(all, keyed{place{file, uint64(i + 1), int64(at)}, key})
		}
	}
	slices.SortFunc(all, func(a, b keyed) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.File, b.File), cmp.Compare(a.Number, b.Number))
	})
	var places []place
	for _, k := range all {
		places = append(places, k.place)
	}
	return places
}

// Captures that cannot be opened are reported together; the others are read.
func TestOpenAllErrors(t *testing.T) {
	good, bad := writeFile(t, "good", pcapOf(1)), writeFile(t, "bad", []byte("what?"))
	sources, err := OpenAll([]string{"nowhere", good, "-", bad, "-"}, Options{Stdin: bytes.NewReader(pcapOf(2))})
	want := "nowhere: no such file\n" + bad + `: is not a capture but a text that begins with "what?"` +
		"\nstandard input: it can be read only once"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if got := merged(t, Merge(sources...)); len(got) != 2 {
		t.Errorf("%v", got)
	}
}

// Thousands of files in a row need neither as many open files nor as much
// memory as if they were read at once.
func TestManyFiles(t *testing.T) {
	dir := t.TempDir()
	var names []string
	for i := range 300 {
		name := filepath.Join(dir, fmt.Sprintf("%03d", 299-i))
		os.WriteFile(name, pcapOf(uint32(2*i), uint32(2*i+1)), 0o644)
		names = append(names, name)
	}
	sources, err := OpenAll(names, Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := Merge(sources...)
	defer m.Close()
	most := 0
	var f Frame
	for n := range 600 {
		if err := m.Next(&f); err != nil || f.At != int64(n)*sec || f.File != n/2 {
			t.Fatalf("frame %d: %+v, %v", n, f, err)
		}
		open := 0
		for _, s := range sources {
			if s.in != nil {
				open++
			}
		}
		most = max(most, open)
	}
	if err := m.Next(&f); err != io.EOF {
		t.Fatal(err)
	}
	if most > 2 {
		t.Errorf("%d files were open at once", most)
	}
}

// A file that vanishes, or changes its nature, between the look at its first
// packet and its turn is damage of that source alone.
func TestFileGone(t *testing.T) {
	a, b, c := writeFile(t, "a", pcapOf(1, 3)), writeFile(t, "b", pcapOf(2)), writeFile(t, "c", pcapOf(2, 4))
	sources, err := OpenAll([]string{a, b, c}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(b)
	os.WriteFile(c, nil, 0o644)
	m := Merge(sources...)
	if got := merged(t, m); len(got) != 2 {
		t.Errorf("%v", got)
	}
	for i, want := range []string{"", "cannot be read a second time: no such file", "cannot be read a second time: is empty"} {
		info := m.Sources()[i].Info()
		switch {
		case want == "" && info.Damage != nil:
			t.Errorf("%v", info.Damage)
		case want != "" && (info.Damage == nil || info.Damage.Text != want || info.Packets != 0):
			t.Errorf("%v, want %s", info.Damage, want)
		}
	}
}

// What has not been read when the merge stops is not counted.
func TestMergeStop(t *testing.T) {
	sources, err := OpenAll([]string{writeFile(t, "a", pcapOf(1, 2)), writeFile(t, "b", pcapOf(5, 6))}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := Merge(sources...)
	var f Frame
	if err := m.Next(&f); err != nil {
		t.Fatal(err)
	}
	m.Stop()
	for m.Next(&f) == nil {
	}
	if i := m.Sources()[1].Info(); i.Packets != 0 || i.First != 0 || i.Damage != nil || i.Format != "pcap" || i.Bytes == 0 {
		t.Errorf("%+v", i)
	}
}
