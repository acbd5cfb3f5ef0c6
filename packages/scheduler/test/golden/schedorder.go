package main

import (
	"fmt"
	"runtime"
)

// Needs GOMAXPROCS=1.
func main() {
	done := make(chan bool)
	for g := range 4 {
		go func() {
			for i := range 3 {
				fmt.Println("g", g, "step", i)
				runtime.Gosched()
			}
			done <- true
		}()
	}
	for range 4 {
		<-done
	}
	c := make(chan int, 2)
	go func() {
		for i := range 6 {
			c <- i
			fmt.Println("sent", i)
		}
		close(c)
	}()
	for v := range c {
		fmt.Println("got", v)
	}
}
