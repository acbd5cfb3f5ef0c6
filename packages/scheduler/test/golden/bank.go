package main

import (
	"fmt"
	"runtime"
	"sync"
)

func main() {
	accounts := make([]int, 10)
	locks := make([]sync.Mutex, 10)
	for i := range accounts {
		accounts[i] = 100
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			x := g + 1
			for range 500 {
				x = (x*1103515245 + 12345) % (1 << 31)
				a, b := x>>8%10, x>>16%10
				if a == b {
					continue
				}
				lo, hi := min(a, b), max(a, b)
				locks[lo].Lock()
				locks[hi].Lock()
				v := accounts[a] / 10
				accounts[a] -= v
				runtime.Gosched()
				accounts[b] += v
				locks[hi].Unlock()
				locks[lo].Unlock()
			}
		}()
	}
	wg.Wait()
	sum := 0
	for _, a := range accounts {
		sum += a
	}
	fmt.Println(sum)
}
