package main

import "fmt"

type tree struct {
	l, r *tree
	v    int
}

func insert(t *tree, v int) *tree {
	if t == nil {
		return &tree{v: v}
	}
	if v < t.v {
		t.l = insert(t.l, v)
	} else {
		t.r = insert(t.r, v)
	}
	return t
}

func build(k, start int) (t *tree) {
	for i := range 10 {
		t = insert(t, k*((i*7+start)%10+1))
	}
	return
}

func walk(t *tree, c chan<- int) {
	var rec func(*tree)
	rec = func(t *tree) {
		if t != nil {
			rec(t.l)
			c <- t.v
			rec(t.r)
		}
	}
	rec(t)
	close(c)
}

func same(a, b *tree) bool {
	ca, cb := make(chan int), make(chan int)
	go walk(a, ca)
	go walk(b, cb)
	for {
		x, ok := <-ca
		y, ok2 := <-cb
		if ok != ok2 || x != y {
			return false
		}
		if !ok {
			return true
		}
	}
}

func main() {
	c := make(chan int)
	go walk(build(1, 3), c)
	for v := range c {
		fmt.Print(v, " ")
	}
	fmt.Println()
	fmt.Println(same(build(1, 0), build(1, 5)), same(build(1, 0), build(2, 0)))
}
