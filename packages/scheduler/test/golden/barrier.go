package main

import (
	"fmt"
	"sync"
)

type barrier struct {
	mu    sync.Mutex
	cond  *sync.Cond
	n     int
	count int
	gen   int
}

func (b *barrier) wait() {
	b.mu.Lock()
	defer b.mu.Unlock()
	gen := b.gen
	b.count++
	if b.count == b.n {
		b.count = 0
		b.gen++
		b.cond.Broadcast()
		return
	}
	for gen == b.gen {
		b.cond.Wait()
	}
}

func main() {
	b := &barrier{n: 4}
	b.cond = sync.NewCond(&b.mu)
	var wg sync.WaitGroup
	var mu sync.Mutex
	phase := [3]int{}
	bad := 0
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for p := range 3 {
				mu.Lock()
				phase[p]++
				mu.Unlock()
				b.wait()
				mu.Lock()
				if phase[p] != 4 {
					bad++
				}
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	fmt.Println(phase, bad)
}
