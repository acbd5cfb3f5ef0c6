package main

import "fmt"

func stage(in <-chan int, f func(int) int) <-chan int {
	out := make(chan int, 2)
	go func() {
		defer close(out)
		for v := range in {
			out <- f(v)
		}
	}()
	return out
}

func main() {
	src := make(chan int)
	go func() {
		defer close(src)
		for i := range 10 {
			src <- i
		}
	}()
	sum := 0
	for v := range stage(stage(src, func(x int) int { return x * x }), func(x int) int { return x + 1 }) {
		fmt.Print(v, " ")
		sum += v
	}
	fmt.Println(sum)
}
