package main

import (
	"runtime"
	"runtime/debug"
	"strconv"
	"unsafe"
)

// Allocation with nothing live: the last object is kept in a global, the rest is garbage, and cycles run
// whenever the 4 MiB minimum heap is full.

type noscan16 struct{ a, b int64 }

type node32 struct {
	l, r *node32
	v, w int64
}

var (
	sink8   *int64
	sink16  *noscan16
	sink32  *node32
	sink1K  *[1024]byte
	sink64K *[65536]byte
	sinkMem runtime.MemStats
)

// mallocs counts the objects allocated by work: the check of the allocation benchmarks.
func mallocs(work func()) string {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	work()
	runtime.ReadMemStats(&after)
	// A handful of objects may be the runtime's own.
	return strconv.FormatUint((after.Mallocs-before.Mallocs)/100*100, 10)
}

func malloc8Tiny(n int) func() string {
	return func() string {
		return mallocs(func() {
			for i := 0; i < n; i++ {
				sink8 = new(int64)
			}
		})
	}
}

func malloc16(n int) func() string {
	return func() string {
		return mallocs(func() {
			for i := 0; i < n; i++ {
				sink16 = new(noscan16)
			}
		})
	}
}

func mallocP32(n int) func() string {
	return func() string {
		return mallocs(func() {
			for i := 0; i < n; i++ {
				sink32 = new(node32)
			}
		})
	}
}

func malloc1K(n int) func() string {
	return func() string {
		return mallocs(func() {
			for i := 0; i < n; i++ {
				sink1K = new([1024]byte)
			}
		})
	}
}

func malloc64K(n int) func() string {
	return func() string {
		return mallocs(func() {
			for i := 0; i < n; i++ {
				sink64K = new([65536]byte)
			}
		})
	}
}

// The fragmented heap keeps 2 MiB of objects alive: a quarter of every other span of 16 MiB. At GOGC=200 a cycle
// allocates up to 6 MiB. The other slots of these spans hold as much, so all allocation happens there.
const (
	fragmentedLive    = 1 << 21
	fragmentedPercent = 200
)

// holder is the only root of the survivors.
var holder any

// among runs work in a heap where objects of type T live: every fourth of every other span or, for comparison, side by
// side.
func among[T any](fragmented bool, work bench) bench {
	return func(n int) func() string {
		debug.SetGCPercent(-1)
		size := unsafe.Sizeof(*new(T))
		survivors := make([]*T, fragmentedLive/size)
		holder = survivors
		for kept := 0; kept < len(survivors); {
			p := new(T)
			a := uintptr(unsafe.Pointer(p))
			if fragmented && (a&8192 != 0 || a&8191/size%4 != 0) {
				continue
			}
			survivors[kept] = p
			kept++
		}
		debug.SetGCPercent(fragmentedPercent)
		runtime.GC()
		return work(n)
	}
}
