package main

import (
	"fmt"
	"sync"
)

type buffer struct {
	mu              sync.Mutex
	notFull, notMty *sync.Cond
	items           []int
	max             int
}

func (b *buffer) put(x int) {
	b.mu.Lock()
	for len(b.items) == b.max {
		b.notFull.Wait()
	}
	b.items = append(b.items, x)
	b.notMty.Signal()
	b.mu.Unlock()
}

func (b *buffer) get() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.items) == 0 {
		b.notMty.Wait()
	}
	x := b.items[0]
	b.items = b.items[1:]
	b.notFull.Signal()
	return x
}

func main() {
	b := &buffer{max: 3}
	b.notFull, b.notMty = sync.NewCond(&b.mu), sync.NewCond(&b.mu)
	for p := range 3 {
		go func() {
			for i := range 10 {
				b.put(p*100 + i)
			}
		}()
	}
	next := [3]int{}
	ordered := true
	sum := 0
	for range 30 {
		x := b.get()
		sum += x
		if x%100 != next[x/100] {
			ordered = false
		}
		next[x/100]++
	}
	fmt.Println(sum, ordered, next)
}
