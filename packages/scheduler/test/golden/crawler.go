package main

import (
	"fmt"
	"sort"
	"sync"
)

var pages = map[string][]string{
	"/":         {"/pkg/", "/cmd/"},
	"/pkg/":     {"/", "/cmd/", "/pkg/fmt/", "/pkg/os/"},
	"/pkg/fmt/": {"/", "/pkg/"},
	"/pkg/os/":  {"/", "/pkg/"},
}

type set struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (s *set) visit(u string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[u] {
		return false
	}
	s.seen[u] = true
	return true
}

func crawl(u string, depth int, s *set, wg *sync.WaitGroup, out chan<- string) {
	defer wg.Done()
	if depth == 0 || !s.visit(u) {
		return
	}
	links, ok := pages[u]
	if !ok {
		out <- "not found: " + u
		return
	}
	out <- fmt.Sprint("found: ", u, " ", len(links))
	for _, l := range links {
		wg.Add(1)
		go crawl(l, depth-1, s, wg, out)
	}
}

func main() {
	out := make(chan string, 100)
	var wg sync.WaitGroup
	wg.Add(1)
	go crawl("/", 4, &set{seen: map[string]bool{}}, &wg, out)
	wg.Wait()
	close(out)
	var lines []string
	for l := range out {
		lines = append(lines, l)
	}
	sort.Strings(lines)
	for _, l := range lines {
		fmt.Println(l)
	}
}
