package main

import (
	"runtime"
	"strconv"
)

// spawnBatch goroutines are started, then the starter yields until all of them have run and ended.
const spawnBatch = 1000

func goroutineSpawn(n int) func() string {
	return func() string {
		count := 0
		for started := 0; started < n; {
			for j := 0; j < spawnBatch && started < n; j++ {
				go func() { count++ }()
				started++
			}
			for count < started {
				runtime.Gosched()
			}
		}
		return strconv.Itoa(count)
	}
}

// gosched has two goroutines yield to each other; an operation is one yield.
func gosched(n int) func() string {
	return func() string {
		count := 0
		done := make(chan bool)
		for k := 0; k < 2; k++ {
			go func() {
				for i := 0; i < n/2; i++ {
					count++
					runtime.Gosched()
				}
				done <- true
			}()
		}
		<-done
		<-done
		return strconv.Itoa(count)
	}
}

// transfer sends n integers from one goroutine to another.
func transfer(n, capacity int) string {
	c := make(chan int, capacity)
	done := make(chan int)
	go func() {
		sum := 0
		for i := 0; i < n; i++ {
			sum += <-c & 0xffff
		}
		done <- sum
	}()
	go func() {
		for i := 0; i < n; i++ {
			c <- i
		}
	}()
	return strconv.Itoa(<-done)
}

func chanUnbuffered(n int) func() string {
	return func() string { return transfer(n, 0) }
}

func chanBuffered100(n int) func() string {
	return func() string { return transfer(n, 100) }
}

func chanBuffered1000(n int) func() string {
	return func() string { return transfer(n, 1000) }
}

func sendRoundRobin(cs []chan int, n int) {
	for i := 0; i < n; i++ {
		cs[i%len(cs)] <- i
	}
}

func makeChans(k int) []chan int {
	cs := make([]chan int, k)
	for i := range cs {
		cs[i] = make(chan int)
	}
	return cs
}

// select2 receives n integers from two unbuffered channels that one sender feeds in turn.
func select2(n int) func() string {
	return func() string {
		cs := makeChans(2)
		done := make(chan int)
		go func() {
			sum := 0
			for i := 0; i < n; i++ {
				select {
				case v := <-cs[0]:
					sum += v & 0xffff
				case v := <-cs[1]:
					sum += v & 0xffff
				}
			}
			done <- sum
		}()
		go sendRoundRobin(cs, n)
		return strconv.Itoa(<-done)
	}
}

func select4(n int) func() string {
	return func() string {
		cs := makeChans(4)
		done := make(chan int)
		go func() {
			sum := 0
			for i := 0; i < n; i++ {
				select {
				case v := <-cs[0]:
					sum += v & 0xffff
				case v := <-cs[1]:
					sum += v & 0xffff
				case v := <-cs[2]:
					sum += v & 0xffff
				case v := <-cs[3]:
					sum += v & 0xffff
				}
			}
			done <- sum
		}()
		go sendRoundRobin(cs, n)
		return strconv.Itoa(<-done)
	}
}

// sievePrimes is the number in the benchmark's name. The operation is the whole program.
const sievePrimes = 2000

func primeSieve(n int) func() string {
	return func() string {
		c := make(chan int)
		go func(to chan<- int) {
			for i := 2; ; i++ {
				to <- i
			}
		}(c)
		prime := 0
		for i := 0; i < sievePrimes; i++ {
			prime = <-c
			next := make(chan int)
			go func(from <-chan int, to chan<- int, prime int) {
				for {
					if i := <-from; i%prime != 0 {
						to <- i
					}
				}
			}(c, next, prime)
			c = next
		}
		return strconv.Itoa(prime)
	}
}
