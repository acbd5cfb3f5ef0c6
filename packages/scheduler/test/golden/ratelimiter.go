package main

import (
	"fmt"
	"time"
)

func main() {
	requests := make(chan int, 8)
	for i := 1; i <= 8; i++ {
		requests <- i
	}
	close(requests)
	burst := make(chan time.Time, 3)
	for range 3 {
		burst <- time.Now()
	}
	t := time.NewTicker(50 * time.Millisecond)
	go func() {
		for x := range t.C {
			burst <- x
		}
	}()
	start := time.Now()
	for r := range requests {
		<-burst
		fmt.Println("request", r, "after", int(time.Since(start).Milliseconds()+25)/50, "ticks")
	}
	t.Stop()
}
