package main

import (
	"fmt"
	"runtime"
	"sync"
	"time"
)

type loud struct{}

func (loud) String() string { panic("String was called") }

func main() {
	var wg sync.WaitGroup
	run := func(name string, f func()) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() { fmt.Println(name, "ends:", recover()) }()
			f()
			fmt.Println(name, "goes on")
		}()
		wg.Wait()
	}
	say := func(what string) { fmt.Println(" ", what, recover()) }

	run("recovered in the frame of Goexit", func() {
		func() {
			defer say("outer")
			defer func() { fmt.Println("  got", recover()) }()
			defer func() { panic("a") }()
			runtime.Goexit()
		}()
		fmt.Println("  the caller goes on")
	})
	run("recovered in a frame further out", func() {
		func() {
			defer func() { fmt.Println("  got", recover()) }()
			func() {
				defer func() { panic("b") }()
				runtime.Goexit()
			}()
			fmt.Println("  not reached")
		}()
		fmt.Println("  not reached")
	})
	run("recovered inside of a deferred call", func() {
		defer func() { fmt.Println("  then", recover()) }()
		defer func() {
			func() {
				defer func() { fmt.Println("  got", recover()) }()
				panic("c")
			}()
			fmt.Println("  the deferred call goes on")
		}()
		runtime.Goexit()
	})
	run("interrupted twice", func() {
		defer func() { fmt.Println("  third", recover()) }()
		defer func() { fmt.Println("  second", recover()) }()
		defer func() { panic("e") }()
		defer func() { fmt.Println("  first", recover()) }()
		defer func() { panic("d") }()
		runtime.Goexit()
	})
	run("a panic replaces the one that interrupted", func() {
		defer func() { fmt.Println("  second", recover()) }()
		defer func() { fmt.Println("  first", recover()) }()
		defer func() { panic("new") }()
		defer func() { panic("old") }()
		runtime.Goexit()
	})
	run("Goexit while panicking", func() {
		defer func() { fmt.Println("  then", recover()) }()
		defer runtime.Goexit()
		panic("f")
	})
	run("Goexit after recover", func() {
		defer func() { fmt.Println("  then", recover()) }()
		defer func() { fmt.Println("  got", recover()); runtime.Goexit() }()
		panic("g")
	})
	run("Goexit twice", func() {
		defer func() { fmt.Println("  then", recover()) }()
		defer runtime.Goexit()
		runtime.Goexit()
	})
	run("the same value again", func() {
		defer func() { fmt.Println("  got", recover()); fmt.Println("  and", recover()) }()
		defer func() { panic(recover()) }()
		panic("h")
	})
	run("another value", func() {
		defer func() { fmt.Println("  got", recover()); fmt.Println("  and", recover()) }()
		defer func() { fmt.Println("  first", recover()); panic("j") }()
		panic("i")
	})
	run("a panic while another is recovered", func() {
		defer func() { fmt.Println("  last", recover()) }()
		defer func() {
			fmt.Println("  outer", recover())
			func() {
				defer func() { fmt.Println("  inner", recover()) }()
				panic("l")
			}()
			fmt.Println("  and", recover())
		}()
		panic("k")
	})
	run("nil", func() {
		defer func() { fmt.Println("  got", recover()) }()
		panic(nil)
	})
	run("a deferred nil", func() {
		defer func() { fmt.Println("  got", recover()) }()
		var f func()
		defer f()
		defer fmt.Println("  before it")
		fmt.Println("  the body")
	})
	run("a value whose String panics", func() {
		defer func() { fmt.Println("  got the value", recover() == any(loud{})) }()
		panic(loud{})
	})
	run("deferred calls that wait", func() {
		defer func() { fmt.Println("  got", recover()) }()
		defer func() {
			done := make(chan bool)
			go func() {
				defer close(done)
				defer func() { fmt.Println("  the other got", recover()) }()
				defer time.Sleep(time.Millisecond)
				panic("n")
			}()
			<-done
			fmt.Println("  waited")
		}()
		defer func() { time.Sleep(time.Millisecond); panic("m2") }()
		panic("m1")
	})
	fired := make(chan bool)
	time.AfterFunc(time.Millisecond, func() {
		defer close(fired)
		defer func() { fmt.Println("timer got", recover()) }()
		defer func() { panic("o") }()
		runtime.Goexit()
	})
	<-fired
	fmt.Println("done", runtime.NumGoroutine())
}
