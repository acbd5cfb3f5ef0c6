// Go's side of metadata.bench.ts. One kind a process: go run bench/go/metadata.go noscan|pointers
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
)

const n = 1 << 24

type noscan struct{ w [8]uint64 }

type pointerful struct {
	p, q *pointerful
	w    [6]uint64
}

var (
	sinkN *noscan
	sinkP *pointerful
)

func measure(name string, allocate func()) {
	var m runtime.MemStats
	allocate()
	runtime.ReadMemStats(&m)
	bytes := float64(n * 64)
	overhead := float64(m.Sys-m.HeapIdle-m.StackInuse) - bytes
	fmt.Printf("%-10s %5.2f %% (MSpanSys %d, GCSys %d, OtherSys %d)\n", name, overhead/bytes*100, m.MSpanSys, m.GCSys, m.OtherSys)
}

// The argument names the kind: noscan or pointers.
func main() {
	debug.SetGCPercent(-1)
	if len(os.Args) > 1 && os.Args[1] == "pointers" {
		measure("pointers", func() {
			for i := 0; i < n; i++ {
				sinkP = new(pointerful)
			}
		})
		return
	}
	measure("noscan", func() {
		for i := 0; i < n; i++ {
			sinkN = new(noscan)
		}
	})
}
