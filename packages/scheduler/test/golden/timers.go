package main

import (
	"fmt"
	"time"
)

func main() {
	ms := time.Millisecond
	t := time.NewTimer(20 * ms)
	fmt.Println("stop", t.Stop(), t.Stop())
	fmt.Println("reset", t.Reset(10*ms), len(t.C), cap(t.C))
	<-t.C
	fmt.Println("fired; stop", t.Stop())
	t.Reset(5 * ms)
	time.Sleep(30 * ms)
	fmt.Println("len", len(t.C), "stop takes the value back", t.Stop())
	select {
	case <-t.C:
		fmt.Println("stale")
	default:
		fmt.Println("nothing")
	}
	t.Reset(5 * ms)
	time.Sleep(30 * ms)
	fmt.Println("reset takes the value back", t.Reset(20*ms))
	start := time.Now()
	<-t.C
	fmt.Println("waited", time.Since(start) >= 15*ms)
	k := time.NewTicker(20 * ms)
	for i := range 3 {
		<-k.C
		fmt.Println("tick", i)
	}
	time.Sleep(70 * ms)
	n := 0
	for {
		select {
		case <-k.C:
			n++
			continue
		default:
		}
		break
	}
	fmt.Println("ticks kept", n)
	k.Stop()
	done := make(chan bool)
	f := time.AfterFunc(time.Hour, func() { close(done) })
	fmt.Println("f reset", f.Reset(5*ms))
	<-done
	fmt.Println("f stop", f.Stop(), f.C == nil)
	select {
	case <-time.After(5 * ms):
		fmt.Println("timeout")
	case <-make(chan int):
	}
}
