// Go's side of pacing.bench.ts: the same program; gctrace tells the rest.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

type node struct {
	next, other *node
	a, b        uint64
}

const chains = (64 << 20) / 64 / 32

var table = make([]*node, chains)

func step(at int) {
	var head *node
	for i := 0; i < 64; i++ {
		head = &node{next: head}
	}
	table[at] = head
}

func main() {
	work, _ := strconv.Atoi(os.Args[1])
	seconds, _ := strconv.ParseFloat(os.Args[2], 64)
	for i := range table {
		step(i)
	}
	x := uint32(1)
	steps := 0
	end := time.Now().Add(time.Duration(seconds * 1e9))
	for time.Now().Before(end) {
		for k := 0; k < 16; k++ {
			step(int(uint64(x) * chains >> 32))
			for i := 0; i < work; i++ {
				x = x*1664525 + 1013904223
			}
			steps++
		}
	}
	fmt.Printf("go %s %.0f MB/s\n", runtime.Version(), float64(steps)*2048/seconds/1e6)
}
