package main

import (
	"fmt"
	"sync"
)

func main() {
	jobs, results := make(chan int, 20), make(chan [2]int, 20)
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := range jobs {
				results <- [2]int{j, j * j}
			}
		}()
	}
	for j := 1; j <= 20; j++ {
		jobs <- j
	}
	close(jobs)
	wg.Wait()
	close(results)
	got := map[int]int{}
	for r := range results {
		got[r[0]] = r[1]
	}
	for j := 1; j <= 20; j++ {
		fmt.Println(j, got[j])
	}
}
