package main

import "fmt"

func queue(in <-chan int, out chan<- int) {
	var q []int
	for in != nil || len(q) > 0 {
		var o chan<- int
		var v int
		if len(q) > 0 {
			o, v = out, q[0]
		}
		select {
		case x, ok := <-in:
			if !ok {
				in = nil
				continue
			}
			q = append(q, x)
		case o <- v:
			q = q[1:]
		}
	}
	close(out)
}

func main() {
	in, out := make(chan int), make(chan int)
	go queue(in, out)
	for i := range 1000 {
		in <- i
	}
	close(in)
	n, ordered := 0, true
	for v := range out {
		ordered = ordered && v == n
		n++
	}
	fmt.Println(n, ordered)
}
