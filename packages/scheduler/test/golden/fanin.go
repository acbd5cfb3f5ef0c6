package main

import "fmt"

func count(name string, n int) <-chan string {
	c := make(chan string)
	go func() {
		for i := range n {
			c <- fmt.Sprint(name, i)
		}
		close(c)
	}()
	return c
}

func main() {
	a, b := count("a", 5), count("b", 7)
	seen := map[string]int{}
	last := map[byte]string{}
	for a != nil || b != nil {
		select {
		case s, ok := <-a:
			if !ok {
				a = nil
				continue
			}
			seen[s]++
			last[s[0]] = s
		case s, ok := <-b:
			if !ok {
				b = nil
				continue
			}
			seen[s]++
			last[s[0]] = s
		}
	}
	fmt.Println(len(seen), last['a'], last['b'])
}
