package main

import (
	"fmt"
	"sync"
	"time"
)

func main() {
	var rw sync.RWMutex
	var mu sync.Mutex
	var log []string
	note := func(s string) { mu.Lock(); log = append(log, s); mu.Unlock() }
	ms := time.Millisecond
	var wg sync.WaitGroup
	reader := func(name string, at, hold time.Duration) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			time.Sleep(at)
			rw.RLock()
			note(name + " in")
			time.Sleep(hold)
			note(name + " out")
			rw.RUnlock()
		}()
	}
	writer := func(name string, at, hold time.Duration) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			time.Sleep(at)
			rw.Lock()
			note(name + " in")
			time.Sleep(hold)
			note(name + " out")
			rw.Unlock()
		}()
	}
	reader("r1", 0, 100*ms)
	reader("r2", 20*ms, 40*ms)
	writer("w1", 40*ms, 40*ms)
	reader("r3", 80*ms, 20*ms)
	writer("w2", 160*ms, 20*ms)
	wg.Wait()
	for _, s := range log {
		fmt.Println(s)
	}
	fmt.Println(rw.TryLock(), rw.TryRLock(), rw.TryLock())
	rw.Unlock()
	fmt.Println(rw.TryRLock(), rw.TryRLock(), rw.TryLock())
}
