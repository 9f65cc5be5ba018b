package compat_test

import (
	"reflect"
	"testing"
	"unsafe"

	"github.com/lastack/lastack/reassembly/compat"
	"github.com/lastack/lastack/reassembly/tcp"
)

// The state lies in every flow's entry of the table.
func TestStateIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(compat.State{}); n > 40 {
		t.Errorf("a State takes %d octets, more than 40", n)
	}
	typ := reflect.TypeFor[compat.State]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		for f.Type.Kind() == reflect.Array {
			f.Type = f.Type.Elem()
		}
		if k := f.Type.Kind(); k < reflect.Bool || k > reflect.Uint64 {
			t.Errorf("field %s is a %s", f.Name, k)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	tr := transcript{clientPort: 40000, serverPort: listed, text: exchange + "> PA 101 301 +10 w0; > FA 111 321; < FA 321 112; < R 322 0"}
	steps := tr.steps(t)
	if n := testing.AllocsPerRun(100, func() {
		var s compat.State
		for i := range steps {
			s.Observe(&steps[i].seg)
			s.Gap(tcp.SideA)
		}
		if s.Completeness() == 0 {
			t.Error("nothing was observed")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkObserve walks through flows of 14 segments from SYN to last ACK,
// and through the data of one flow; "hash" is what the flow table does besides
// to find a segment's flow, to compare with.
func BenchmarkObserve(b *testing.B) {
	tr := transcript{clientPort: 40000, serverPort: listed, text: exchange +
		"> PA 111 321 +10; < A 321 121; < PA 321 121 +20; > A 121 341;> FA 121 341; < FA 341 122; > A 122 342"}
	steps := tr.steps(b)
	b.Run("observe", func(b *testing.B) {
		var s compat.State
		for i := range b.N {
			k := i % len(steps)
			if k == 0 {
				s = compat.State{}
			}
			s.Observe(&steps[k].seg)
		}
	})
	b.Run("data", func(b *testing.B) {
		var s compat.State
		for i := range steps[:7] {
			s.Observe(&steps[i].seg)
		}
		seg := steps[7].seg
		for range b.N {
			s.Observe(&seg)
			seg.Seq += 10
		}
	})
	b.Run("hash", func(b *testing.B) {
		var h uint64
		for i := range b.N {
			h ^= steps[i%len(steps)].seg.Tuple.Hash(uint64(i))
		}
		if h == 1 {
			b.Log("unlikely")
		}
	})
}

func BenchmarkFields(b *testing.B) {
	tr := transcript{clientPort: 40000, serverPort: listed, text: exchange}
	s := tr.run(b)
	seg := tr.steps(b)[0].seg
	b.Run("history", func(b *testing.B) {
		for range b.N {
			_ = s.History(tr.client())
		}
	})
	b.Run("connstate", func(b *testing.B) {
		for range b.N {
			_ = s.ConnState(tr.client())
		}
	})
	b.Run("communityid", func(b *testing.B) {
		for range b.N {
			_ = compat.CommunityID(&seg.Tuple, 0)
		}
	})
}
