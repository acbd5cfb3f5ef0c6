package main

import "fmt"

func main() {
	const n, rounds = 503, 1000
	done := make(chan int)
	first := make(chan int)
	in := first
	for i := 1; i <= n; i++ {
		out := make(chan int)
		if i == n {
			out = first
		}
		go func(id int, in, out chan int) {
			for {
				v := <-in
				if v == 0 {
					done <- id
					return
				}
				out <- v - 1
			}
		}(i, in, out)
		in = out
	}
	first <- rounds
	fmt.Println(<-done)
}
