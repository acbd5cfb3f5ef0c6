// Go's side of sweep.bench.ts: the time from the end of marking to the end of runtime.GC, which sweeps all spans.
package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"time"
)

type node struct {
	l, r *node
	a, b uint64
}

var keep []*node

func main() {
	const n = 1 << 22
	debug.SetGCPercent(-1)
	var ms runtime.MemStats
	for _, every := range []int{1, 2, 4} {
		for rep := 0; rep < 7; rep++ {
			keep = make([]*node, 0, n/every)
			for i := 0; i < n; i++ {
				p := &node{}
				if i%every == 0 {
					keep = append(keep, p)
				}
			}
			runtime.GC()
			end := time.Now().UnixNano()
			runtime.ReadMemStats(&ms)
			fmt.Printf("%d %d\n", every, end-int64(ms.LastGC))
			keep = nil
			runtime.GC()
			runtime.GC()
		}
	}
}
