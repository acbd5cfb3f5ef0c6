package main

import (
	"fmt"
	"sync"
	"time"
)

func main() {
	const n, meals = 5, 3
	forks := make([]sync.Mutex, n)
	var wg sync.WaitGroup
	eaten := make([]int, n)
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			a, b := i, (i+1)%n
			if a > b {
				a, b = b, a
			}
			for range meals {
				forks[a].Lock()
				time.Sleep(time.Millisecond)
				forks[b].Lock()
				eaten[i]++
				time.Sleep(time.Millisecond)
				forks[b].Unlock()
				forks[a].Unlock()
			}
		}()
	}
	wg.Wait()
	fmt.Println("eaten", eaten)
}
