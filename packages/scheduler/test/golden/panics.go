package main

import (
	"errors"
	"fmt"
)

func f(n int) (r string) {
	defer func() {
		fmt.Println("defer", n, "of f")
		if e := recover(); e != nil {
			r = fmt.Sprint("recovered ", e)
		}
	}()
	if n == 0 {
		panic("bottom")
	}
	if n == 3 {
		panic(errors.New("at three"))
	}
	s := f(n - 1)
	fmt.Println("f", n, "got", s)
	return "fine"
}

func nested() {
	defer func() { fmt.Println("outer", recover()) }()
	defer func() {
		defer func() { fmt.Println("inner", recover()) }()
		panic("second")
	}()
	panic("first")
}

func replaced() {
	defer func() { fmt.Println("got", recover()) }()
	defer func() { panic("new") }()
	panic("old")
}

func twice() {
	defer func() { fmt.Println("again", recover()) }()
	defer func() { fmt.Println("once", recover()) }()
	panic("only")
}

func order() {
	for i := range 3 {
		defer fmt.Println("deferred", i)
	}
	fmt.Println("body")
}

func main() {
	fmt.Println(f(2))
	fmt.Println(f(4))
	nested()
	replaced()
	twice()
	order()
	fmt.Println("recover outside:", recover())
}
