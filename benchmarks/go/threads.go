package main

import (
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
)

// Two threads, at GOMAXPROCS=2.

// threads is the number of goroutines among which a loop over an array is split.
const threads = 2

// textParts is the number of goroutines that count words.
const textParts = 16

func hashSum(lo, hi int) int32 {
	sum := uint32(0)
	for i := uint32(lo); i < uint32(hi); i++ {
		h := (i ^ i>>16) * 0x45d9f3b
		h = (h ^ h>>16) * 0x45d9f3b
		sum += h ^ h>>16
	}
	return int32(sum)
}

func parallelSum(n int) func() string {
	return func() string {
		var sums [threads]int32
		var wg sync.WaitGroup
		part := n / threads
		for k := range threads {
			wg.Go(func() { sums[k] = hashSum(k*part, (k+1)*part) })
		}
		wg.Wait()
		sum := int32(0)
		for _, x := range sums {
			sum += x
		}
		return strconv.Itoa(int(sum))
	}
}

func wordCount(n int) func() string {
	text := newText(n)
	return func() string {
		counts := make([]uint32, textParts*tableWords)
		begin := func(k int) int { return wordBegin(text, n/textParts*k) }
		var wg sync.WaitGroup
		for k := range textParts {
			end := n
			if k+1 < textParts {
				end = begin(k + 1)
			}
			wg.Go(func() { countWords(text[begin(k):end], counts[k*tableWords:(k+1)*tableWords]) })
		}
		wg.Wait()
		return wordTotals(counts)
	}
}

// Each thread has a sink of its own, on a cache line of its own.
var threadSinks [threads]struct {
	p16 *noscan16
	p1K *[1024]byte
	_   [48]byte
}

func mallocThreads(n int, allocate func(k, n int)) func() string {
	return func() string {
		return mallocs(func() {
			var wg sync.WaitGroup
			for k := range threads {
				wg.Go(func() { allocate(k, n/threads) })
			}
			wg.Wait()
		})
	}
}

func mallocThreads16(n int) func() string {
	return mallocThreads(n, func(k, n int) {
		for i := 0; i < n; i++ {
			threadSinks[k].p16 = new(noscan16)
		}
	})
}

func mallocThreads1K(n int) func() string {
	return mallocThreads(n, func(k, n int) {
		for i := 0; i < n; i++ {
			threadSinks[k].p1K = new([1024]byte)
		}
	})
}

// binaryTreesThreads makes the short-lived trees on several threads.
func binaryTreesThreads(max int) bench {
	return func(n int) func() string {
		return func() string {
			total := 0
			for i := 0; i < n; i++ {
				total += bottomUp(max + 1).items()
				longLived := bottomUp(max)
				var sums []*int
				var wg sync.WaitGroup
				for depth := 4; depth <= max; depth += 4 {
					for range threads {
						sum := new(int)
						sums = append(sums, sum)
						wg.Go(func() {
							count := 0
							for k := 1 << (max - depth + 4) / threads; k > 0; k-- {
								count += bottomUp(depth).items()
							}
							*sum = count
						})
					}
				}
				wg.Wait()
				for _, sum := range sums {
					total += *sum
				}
				total += longLived.items()
			}
			return strconv.Itoa(total)
		}
	}
}

// wakeRoundTrip sends integers to a goroutine on another thread, and gets them back.
func wakeRoundTrip(n int) func() string {
	return func() string {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		ping, pong := make(chan int), make(chan int)
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for i := 0; i < n; i++ {
				pong <- <-ping
			}
		}()
		sum := 0
		for i := 0; i < n; i++ {
			ping <- i
			sum += <-pong & 0xffff
		}
		return strconv.Itoa(sum)
	}
}

// atomicRoundTrip changes a word, and waits until a goroutine on another thread has changed another word.
func atomicRoundTrip(n int) func() string {
	return func() string {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		const apart = 32
		words := make([]atomic.Int32, 2*apart)
		done := make(chan bool)
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for i := 1; i <= n; i++ {
				for words[0].Load() != int32(i) {
				}
				words[apart].Store(int32(i))
			}
			done <- true
		}()
		for i := 1; i <= n; i++ {
			words[0].Store(int32(i))
			for words[apart].Load() != int32(i) {
			}
		}
		<-done
		return strconv.Itoa(int(words[apart].Load()))
	}
}
