// Each argument names a program that dies. crashes.txt holds its report up to the stack (GOTRACEBACK=single).
package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
)

type loud struct{}

func (loud) String() string { panic("in String") }

func fatal() {
	var mu sync.Mutex
	mu.Unlock()
}

var programs = []struct {
	name string
	run  func()
}{
	{"goexit of main with a recovered panic", func() {
		func() {
			defer func() { recover() }()
			defer func() { panic("a") }()
			runtime.Goexit()
		}()
	}},
	{"goexit of main while panicking", func() {
		defer runtime.Goexit()
		panic("a")
	}},
	{"panic after goexit", func() {
		defer func() { panic("late") }()
		runtime.Goexit()
	}},
	{"panic, goexit, panic", func() {
		defer func() { panic("b") }()
		defer runtime.Goexit()
		panic("a")
	}},
	{"panic, recover, goexit, panic", func() {
		defer func() { panic("b") }()
		defer func() { recover(); runtime.Goexit() }()
		panic("a")
	}},
	{"goexit, panic, recover, panic", func() {
		defer func() { panic("b") }()
		defer func() { recover() }()
		defer func() { panic("a") }()
		runtime.Goexit()
	}},
	{"three panics", func() {
		defer func() { panic("c\nd") }()
		defer func() { panic("b") }()
		panic("a")
	}},
	{"a panic in a function of a deferred call", func() {
		defer func() {
			defer func() { panic("c") }()
			panic("b")
		}()
		panic("a")
	}},
	{"the same twice again", func() {
		defer func() { panic(recover()) }()
		defer func() { panic(recover()) }()
		panic("a")
	}},
	{"the same again, then another", func() {
		defer func() { panic("b") }()
		defer func() { panic(recover()) }()
		panic("a")
	}},
	{"fatal error in a deferred call", func() {
		defer fatal()
		panic("a\nb")
	}},
	{"fatal error after two panics", func() {
		defer fatal()
		defer func() { panic("b") }()
		panic("a")
	}},
	{"fatal error after recover", func() {
		defer func() { recover(); fatal() }()
		panic("a")
	}},
	{"fatal error after a panic that is over", func() {
		defer fatal()
		defer func() { recover() }()
		panic("a")
	}},
	{"fatal error after goexit", func() {
		defer fatal()
		runtime.Goexit()
	}},
	{"fatal error after panic and goexit", func() {
		defer fatal()
		defer runtime.Goexit()
		panic("a")
	}},
	{"fatal error in a function of a deferred call", func() {
		defer func() {
			defer fatal()
			panic("b")
		}()
		panic("a")
	}},
	{"deadlock in a deferred call", func() {
		defer func() { select {} }()
		panic("a")
	}},
	{"a value whose String panics", func() {
		defer func() { panic(loud{}) }()
		panic("a")
	}},
	{"nil", func() { panic(nil) }},
}

func main() {
	for _, p := range programs {
		if len(os.Args) == 1 {
			fmt.Println(p.name)
		} else if p.name == os.Args[1] {
			p.run()
		}
	}
}
