package main

import (
	"fmt"
	"runtime"
	"strconv"
)

// live is the only root of the trees of the mark benchmarks.
var live *node32

// postOrder builds a complete tree of the given depth, children before their parent.
func postOrder(depth int) *node32 {
	if depth == 0 {
		return &node32{}
	}
	l := postOrder(depth - 1)
	r := postOrder(depth - 1)
	return &node32{l: l, r: r}
}

// shuffled builds a complete tree of n nodes, laid out over the heap in random order.
func shuffled(n int) *node32 {
	perm := make([]*node32, n)
	for i := range perm {
		perm[i] = &node32{}
	}
	x := uint32(12345)
	for i := n - 1; i > 0; i-- {
		x = x*1664525 + 1013904223
		j := int(x % uint32(i+1))
		perm[i], perm[j] = perm[j], perm[i]
	}
	for i := 0; i*2+2 < n; i++ {
		perm[i].l = perm[2*i+1]
		perm[i].r = perm[2*i+2]
	}
	return perm[0]
}

func count(t *node32) int {
	if t == nil {
		return 0
	}
	return 1 + count(t.l) + count(t.r)
}

// collect is a full forced cycle over n live objects, sweep included.
func collect(n int) func() string {
	if got := count(live); got != n {
		panic(fmt.Sprintf("built %d nodes, want %d", got, n))
	}
	runtime.GC()
	return func() string {
		runtime.GC()
		runtime.ReadMemStats(&sinkMem)
		return strconv.FormatUint(sinkMem.HeapObjects/10000*10000, 10)
	}
}

func depthOf(n int) int {
	depth := 0
	for 1<<(depth+1)-1 < n {
		depth++
	}
	return depth
}

func markAllocOrder(n int) func() string {
	live = postOrder(depthOf(n))
	return collect(n)
}

func markRandom(n int) func() string {
	live = shuffled(n)
	return collect(n)
}

type node16 struct{ l, r *node16 }

func bottomUp(depth int) *node16 {
	if depth == 0 {
		return &node16{}
	}
	l := bottomUp(depth - 1)
	r := bottomUp(depth - 1)
	return &node16{l, r}
}

func (t *node16) items() int {
	if t.l == nil {
		return 1
	}
	return 1 + t.l.items() + t.r.items()
}

// binaryTrees is the whole program; the depth is in the benchmark's name.
func binaryTrees(max int) bench {
	return func(n int) func() string {
		return func() string {
			total := 0
			for i := 0; i < n; i++ {
				total += bottomUp(max + 1).items()
				longLived := bottomUp(max)
				for depth := 4; depth <= max; depth += 4 {
					for k := 1 << (max - depth + 4); k > 0; k-- {
						total += bottomUp(depth).items()
					}
				}
				total += longLived.items()
			}
			return strconv.Itoa(total)
		}
	}
}
