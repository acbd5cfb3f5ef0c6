package main

import "fmt"

func sort(a []int, done chan<- bool) {
	if len(a) > 1 {
		p, i := a[len(a)-1], 0
		for j := range a {
			if a[j] < p {
				a[i], a[j] = a[j], a[i]
				i++
			}
		}
		a[i], a[len(a)-1] = a[len(a)-1], a[i]
		sub := make(chan bool)
		go sort(a[:i], sub)
		go sort(a[i+1:], sub)
		<-sub
		<-sub
	}
	done <- true
}

func main() {
	a := make([]int, 200)
	x := 12345
	for i := range a {
		x = (x*1103515245 + 12345) % (1 << 31)
		a[i] = x >> 8 % 1000
	}
	done := make(chan bool)
	go sort(a, done)
	<-done
	fmt.Println(a)
}
