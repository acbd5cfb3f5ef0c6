package main

import "fmt"

func future(f func() int) func() int {
	c := make(chan int, 1)
	go func() { c <- f() }()
	return func() int { v := <-c; c <- v; return v }
}

func main() {
	a := future(func() int { return 6 })
	b := future(func() int { return 7 })
	c := future(func() int { return a() * b() })
	d := future(func() int { return c() + a() })
	fmt.Println(d(), c(), b(), a())
}
