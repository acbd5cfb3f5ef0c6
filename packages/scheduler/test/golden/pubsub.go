package main

import "fmt"

type hub struct {
	sub   chan chan string
	unsub chan chan string
	pub   chan string
	stop  chan bool
}

func (h *hub) run() {
	var list []chan string
	for {
		select {
		case c := <-h.sub:
			list = append(list, c)
		case c := <-h.unsub:
			for i, x := range list {
				if x == c {
					list = append(list[:i:i], list[i+1:]...)
					close(c)
				}
			}
		case m := <-h.pub:
			for _, c := range list {
				c <- m
			}
		case <-h.stop:
			for _, c := range list {
				close(c)
			}
			close(h.stop)
			return
		}
	}
}

func main() {
	h := &hub{make(chan chan string), make(chan chan string), make(chan string), make(chan bool)}
	go h.run()
	a, b := make(chan string, 10), make(chan string, 10)
	h.sub <- a
	h.pub <- "one"
	h.sub <- b
	h.pub <- "two"
	h.unsub <- a
	h.pub <- "three"
	h.stop <- true
	<-h.stop
	for m := range a {
		fmt.Println("a", m)
	}
	for m := range b {
		fmt.Println("b", m)
	}
}
