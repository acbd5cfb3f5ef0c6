// The program whose dump is go1.27.heapdump.gz: go build -trimpath -ldflags="-s -w", env -i ./heapdump FILE, gzip -9.
package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

type N struct {
	next *N
	v    [100]*int
	s    string
}

var head *N

func main() {
	for i := 0; i < 50; i++ {
		head = &N{next: head, s: "x"}
	}
	runtime.MemProfileRate = 1
	ch := make(chan int)
	go func() { x := &N{next: head}; <-ch; runtime.KeepAlive(x) }()
	runtime.Gosched()
	runtime.SetFinalizer(&N{}, func(*N) {})
	f, _ := os.Create(os.Args[1])
	debug.WriteHeapDump(f.Fd())
	f.Close()
}
