package main

import (
	"runtime"
	"strconv"
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
