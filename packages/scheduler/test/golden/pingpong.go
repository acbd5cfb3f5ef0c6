package main

import "fmt"

func main() {
	ping, pong := make(chan int), make(chan int)
	go func() {
		for v := range ping {
			fmt.Println("pong got", v)
			pong <- v * 10
		}
		close(pong)
	}()
	for i := 1; i <= 5; i++ {
		ping <- i
		fmt.Println("ping got", <-pong)
	}
	close(ping)
	v, ok := <-pong
	fmt.Println(v, ok)
}
