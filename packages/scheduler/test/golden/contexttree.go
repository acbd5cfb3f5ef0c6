package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

type key string

func main() {
	root := context.WithValue(context.Background(), key("user"), "gopher")
	a, cancelA := context.WithCancelCause(root)
	b, cancelB := context.WithTimeout(a, time.Hour)
	c, cancelC := context.WithTimeout(b, 5*time.Millisecond)
	defer cancelB()
	defer cancelC()
	free := context.WithoutCancel(b)
	ran := make(chan string, 1)
	context.AfterFunc(a, func() { ran <- "after func" })
	stop := context.AfterFunc(a, func() { ran <- "never" })
	fmt.Println("stopped", stop(), stop())
	<-c.Done()
	fmt.Println("c", c.Err(), context.Cause(c), "b", b.Err())
	cancelA(errors.New("enough"))
	<-b.Done()
	fmt.Println("b", b.Err(), context.Cause(b))
	fmt.Println("c", c.Err(), context.Cause(c))
	fmt.Println("free", free.Err(), free.Value(key("user")), free.Done() == nil)
	fmt.Println(<-ran)
	_, ok := a.Deadline()
	_, ok2 := c.Deadline()
	fmt.Println(ok, ok2, b.Value(key("user")), b.Value(key("none")))
	d, cancelD := context.WithCancel(a)
	fmt.Println("d", d.Err(), context.Cause(d))
	cancelD()
	fmt.Println(errors.Is(c.Err(), context.DeadlineExceeded), a)
}
