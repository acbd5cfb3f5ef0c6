package main

import "fmt"

func sorted(a []int) <-chan int {
	out := make(chan int)
	go func() {
		defer close(out)
		if len(a) == 1 {
			out <- a[0]
			return
		}
		x, y := sorted(a[:len(a)/2]), sorted(a[len(a)/2:])
		v, okv := <-x
		w, okw := <-y
		for okv || okw {
			if okv && (!okw || v <= w) {
				out <- v
				v, okv = <-x
			} else {
				out <- w
				w, okw = <-y
			}
		}
	}()
	return out
}

func main() {
	var a []int
	for i := range 64 {
		a = append(a, i*37%64)
	}
	for v := range sorted(a) {
		fmt.Print(v, " ")
	}
	fmt.Println()
}
