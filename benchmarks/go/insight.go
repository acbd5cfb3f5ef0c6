package main

import (
	"bytes"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// readMemStats reads the statistics of a heap of 100000 live objects of 32 bytes.
func readMemStats(n int) func() string {
	live = nil
	for i := 0; i < 100000; i++ {
		live = &node32{l: live}
	}
	runtime.GC()
	return func() string {
		for i := 0; i < n; i++ {
			runtime.ReadMemStats(&sinkMem)
		}
		return strconv.FormatUint(sinkMem.HeapObjects/10000*10000, 10)
	}
}

// caller asks for file and line of its own call.
func caller(n int) func() string {
	return func() string {
		lines := 0
		for i := 0; i < n; i++ {
			_, file, line, ok := runtime.Caller(0)
			if ok && line > 0 && strings.HasSuffix(file, ".go") {
				lines++
			}
		}
		return strconv.Itoa(lines)
	}
}

// under calls f below a stack of depth more frames.
//
//go:noinline
func under(depth int, f func()) {
	if depth > 0 {
		under(depth-1, f)
		return
	}
	f()
}

// callers8 records eight frames.
func callers8(n int) func() string {
	pcs := make([]uintptr, 8)
	return func() string {
		frames := 0
		under(12, func() {
			for i := 0; i < n; i++ {
				frames += runtime.Callers(1, pcs)
			}
		})
		return strconv.Itoa(frames)
	}
}

// callersFrames32 records 32 frames and names them.
func callersFrames32(n int) func() string {
	pcs := make([]uintptr, 32)
	return func() string {
		named := 0
		under(40, func() {
			for i := 0; i < n; i++ {
				frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
				for {
					frame, more := frames.Next()
					if frame.Line > 0 {
						named++
					}
					if !more {
						break
					}
				}
			}
		})
		return strconv.Itoa(named)
	}
}

// stack32 prints the running goroutine's own stack.
func stack32(n int) func() string {
	buf := make([]byte, 1<<16)
	return func() string {
		complete := 0
		under(30, func() {
			for i := 0; i < n; i++ {
				text := buf[:runtime.Stack(buf, false)]
				if bytes.Count(text, []byte("\n\t")) > 30 {
					complete++
				}
			}
		})
		return strconv.Itoa(complete)
	}
}

// stackAll prints the stacks of 1000 goroutines that wait, four calls deep; n is a multiple of 1000.
func stackAll(n int) func() string {
	stop := make(chan bool)
	var started sync.WaitGroup
	for i := 0; i < 1000; i++ {
		started.Add(1)
		go under(3, func() {
			started.Done()
			<-stop
		})
	}
	started.Wait()
	runtime.Gosched()
	buf := make([]byte, 4<<20)
	return func() string {
		waiting := 0
		for i := 0; i < n; i += 1000 {
			text := buf[:runtime.Stack(buf, true)]
			waiting += bytes.Count(text, []byte("[chan receive"))
		}
		return strconv.Itoa(waiting)
	}
}

// stackAllFresh is stackAll with every goroutine woken and waiting anew before each text.
func stackAllFresh(n int) func() string {
	again := make(chan bool)
	var begun atomic.Int64
	for i := 0; i < 1000; i++ {
		go under(3, func() {
			for {
				begun.Add(1)
				<-again
			}
		})
	}
	for begun.Load() < 1000 {
		runtime.Gosched()
	}
	buf := make([]byte, 4<<20)
	return func() string {
		waiting := 0
		for i := 0; i < n; i += 1000 {
			goal := begun.Load() + 1000
			for k := 0; k < 1000; k++ {
				again <- true
			}
			for begun.Load() < goal {
				runtime.Gosched()
			}
			text := buf[:runtime.Stack(buf, true)]
			waiting += bytes.Count(text, []byte("[chan receive"))
		}
		return strconv.Itoa(waiting)
	}
}

// blockEvents sends through an unbuffered channel with every wait recorded.
func blockEvents(n int) func() string {
	return func() string {
		runtime.SetBlockProfileRate(1)
		before := blocked()
		c := make(chan int)
		go func() {
			for i := 0; i < n; i++ {
				c <- i
			}
		}()
		sum := 0
		for i := 0; i < n; i++ {
			sum += <-c
		}
		runtime.SetBlockProfileRate(0)
		// On one processor nearly all sends and receives wait. The check asks only for half, so that runs agree.
		if blocked()-before < int64(n)/2 {
			return "waits are missing"
		}
		return strconv.Itoa(sum)
	}
}

func blocked() int64 {
	n, _ := runtime.BlockProfile(nil)
	records := make([]runtime.BlockProfileRecord, n+8)
	n, _ = runtime.BlockProfile(records)
	var events int64
	for _, r := range records[:n] {
		events += r.Count
	}
	return events
}

// countingWriter counts bytes and keeps none.
type countingWriter struct{ n int }

func (w *countingWriter) Write(p []byte) (int, error) { w.n += len(p); return len(p), nil }

// profileCustom adds n values to a custom profile, and writes it.
func profileCustom(n int) func() string {
	round := 0
	return func() string {
		round++
		p := pprof.NewProfile("benchmark" + strconv.Itoa(round))
		for i := 0; i < n; i++ {
			p.Add(i, 0)
		}
		w := &countingWriter{}
		if err := p.WriteTo(w, 0); err != nil || w.n == 0 {
			return "nothing written"
		}
		return strconv.Itoa(p.Count())
	}
}
