package main

import (
	"fmt"
	"sync"
)

func main() {
	var o sync.Once
	var wg sync.WaitGroup
	n := 0
	for range 10 {
		wg.Add(1)
		go func() { defer wg.Done(); o.Do(func() { n++ }) }()
	}
	wg.Wait()
	fmt.Println(n)
	var p sync.Once
	func() {
		defer func() { fmt.Println(recover()) }()
		p.Do(func() { panic("in once") })
	}()
	p.Do(func() { fmt.Println("not again") })
	calls := 0
	v := sync.OnceValue(func() int { calls++; return 42 })
	fmt.Println(v(), v(), calls)
	f := sync.OnceFunc(func() { panic("each time") })
	for range 2 {
		func() {
			defer func() { fmt.Println(recover()) }()
			f()
		}()
	}
}
