package main

import "fmt"

// Power series as channels of coefficients (here integers modulo a prime).
const p = 1000003

func pow(b, e int) int {
	r := 1
	for ; e > 0; e >>= 1 {
		if e&1 == 1 {
			r = r * b % p
		}
		b = b * b % p
	}
	return r
}

func inv(a int) int { return pow(a, p-2) }

func rep(c int) chan int {
	out := make(chan int)
	go func() {
		for {
			out <- c
		}
	}()
	return out
}

func split(in chan int) (chan int, chan int) {
	a, b := make(chan int), make(chan int)
	go func() {
		// Either side may be ahead of the other.
		var qa, qb []int
		for {
			var ca, cb chan int
			var va, vb int
			if len(qa) == 0 && len(qb) == 0 {
				v := <-in
				qa, qb = append(qa, v), append(qb, v)
			}
			if len(qa) > 0 {
				ca, va = a, qa[0]
			}
			if len(qb) > 0 {
				cb, vb = b, qb[0]
			}
			var src chan int
			if ca == nil || cb == nil {
				src = in
			}
			select {
			case ca <- va:
				qa = qa[1:]
			case cb <- vb:
				qb = qb[1:]
			case v := <-src:
				qa, qb = append(qa, v), append(qb, v)
			}
		}
	}()
	return a, b
}

func add(f, g chan int) chan int {
	out := make(chan int)
	go func() {
		for {
			a := <-f
			b := <-g
			out <- (a + b) % p
		}
	}()
	return out
}

func scale(c int, f chan int) chan int {
	out := make(chan int)
	go func() {
		for {
			out <- c * <-f % p
		}
	}()
	return out
}

func mul(f, g chan int) chan int {
	out := make(chan int)
	go func() {
		// f*g = f0*g0 + x*(f0*G + g0*F) + x*x*(F*G), kept simple: all coefficients so far.
		var fs, gs []int
		for {
			fs, gs = append(fs, <-f), append(gs, <-g)
			s, n := 0, len(fs)
			for i := range fs {
				s = (s + fs[i]*gs[n-1-i]) % p
			}
			out <- s
		}
	}()
	return out
}

func integrate(c int, f chan int) chan int {
	out := make(chan int)
	go func() {
		out <- c
		for i := 1; ; i++ {
			out <- <-f * inv(i) % p
		}
	}()
	return out
}

// exp(f) with f0 = 0: the solution of E' = E*f'.
func exponential() chan int {
	out, back := make(chan int), make(chan int)
	e := integrate(1, back)
	a, b := split(e)
	go func() {
		for {
			back <- <-a
		}
	}()
	go func() {
		for {
			out <- <-b
		}
	}()
	return out
}

func main() {
	show := func(name string, f chan int) {
		fmt.Print(name, ":")
		for i := 0; i < 12; i++ {
			fmt.Print(" ", <-f)
		}
		fmt.Println()
	}
	show("ones", rep(1))
	show("sum", add(rep(1), scale(2, rep(3))))
	show("square", mul(rep(1), rep(1)))
	show("log", integrate(0, rep(1)))
	show("exp", exponential())
	show("exp*exp", mul(exponential(), exponential()))
	a, b := split(integrate(5, rep(7)))
	show("a", a)
	show("b", b)
}
