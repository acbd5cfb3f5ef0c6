package main

import (
	"fmt"
	"runtime"
	"sync"
)

func inner() {
	defer fmt.Println("inner deferred")
	runtime.Goexit()
	fmt.Println("not reached")
}

func main() {
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		defer func() { fmt.Println("recover:", recover()) }()
		defer fmt.Println("outer deferred")
		inner()
		fmt.Println("not reached either")
	}()
	wg.Wait()
	wg.Add(1)
	go func() {
		defer wg.Done()
		defer func() { fmt.Println("then", recover()) }()
		defer func() {
			defer func() { fmt.Println("stopped", recover()) }()
			panic("while exiting")
		}()
		runtime.Goexit()
	}()
	wg.Wait()
	fmt.Println("done", runtime.NumGoroutine())
}
