// Command benchmarks is Go's side of gort's benchmarks: the same names, the same work, the same sizes.
//
//	benchmarks -bench Malloc16 -n 1000000 -warmup 2 -samples 5
//
// It runs the work of one benchmark a few times untimed and a few times timed, in this one process, and prints
//
//	{"name":"Malloc16","samples":[13.8,13.9],"check":"1000000"}
//
// A sample is nanoseconds an operation; "cpu" has the processor time of all threads, too. The check is a figure that
// the work itself produced; the harness compares it with the other side's, so that neither can skip the work.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"
)

// A bench prepares its state and returns the work of one sample. The work does n operations and returns the
// check.
type bench func(n int) func() string

var benches = map[string]bench{
	"Malloc16":                  malloc16,
	"MallocP32":                 mallocP32,
	"Malloc1K":                  malloc1K,
	"Malloc8Tiny":               malloc8Tiny,
	"Malloc64K":                 malloc64K,
	"MallocFragmented16":        among[noscan16](true, malloc16),
	"MallocCompact16":           among[noscan16](false, malloc16),
	"MallocFragmentedP32":       among[node32](true, mallocP32),
	"MallocCompactP32":          among[node32](false, mallocP32),
	"MallocFragmented1K":        among[[1024]byte](true, malloc1K),
	"MallocCompact1K":           among[[1024]byte](false, malloc1K),
	"GoroutineSpawn":            goroutineSpawn,
	"Gosched":                   gosched,
	"ChanUnbuffered":            chanUnbuffered,
	"ChanBuffered100":           chanBuffered100,
	"ChanBuffered100Try":        chanBuffered100,
	"Select2":                   select2,
	"Select4":                   select4,
	"PrimeSieve2000":            primeSieve,
	"MarkAllocOrder":            markAllocOrder,
	"MarkRandom":                markRandom,
	"MarkAllocOrderJS":          markAllocOrder,
	"MarkAllocOrderWasm":        markAllocOrder,
	"MarkRandomJS":              markRandom,
	"MarkRandomWasm":            markRandom,
	"BinaryTrees18":             binaryTrees(18),
	"BinaryTrees20":             binaryTrees(20),
	"HeapChanUnbuffered":        chanUnbuffered,
	"HeapChanBuffered100":       chanBuffered100,
	"HeapChanSharedUnbuffered":  chanUnbuffered,
	"HeapChanSharedBuffered100": chanBuffered100,
	"HeapChanAcrossThreads":     chanUnbuffered,
	"HeapChanAcrossThreads100":  chanBuffered100,
	"HeapChanBatched":           chanBuffered1000,
	"WakeRoundTrip":             wakeRoundTrip,
	"AtomicRoundTrip":           atomicRoundTrip,
	"ParallelSum2":              parallelSum,
	"WordCount2":                wordCount,
	"MallocTwoThreads16":        mallocThreads16,
	"MallocTwoThreads1K":        mallocThreads1K,
	"MarkTwoThreads":            markAllocOrder,
	"BinaryTrees18P2":           binaryTreesThreads(18),
	"ReadMemStats":              readMemStats,
	"Caller":                    caller,
	"Callers8":                  callers8,
	"CallersFrames32":           callersFrames32,
	"Stack32":                   stack32,
	"StackAll1000":              stackAll,
	"StackAll1000Fresh":         stackAllFresh,
	"BlockEvents":               blockEvents,
	"BlockEventsSampled":        blockEvents,
	"ProfileCustom":             profileCustom,
}

type result struct {
	Name    string    `json:"name"`
	Samples []float64 `json:"samples"`
	CPU     []float64 `json:"cpu,omitempty"`
	Check   string    `json:"check"`
}

func main() {
	name := flag.String("bench", "", "name of the benchmark")
	n := flag.Int("n", 1, "operations a sample")
	warmup := flag.Int("warmup", 1, "untimed runs")
	samples := flag.Int("samples", 5, "timed runs")
	version := flag.Bool("version", false, "print the version of Go and leave")
	flag.Parse()
	if *version {
		fmt.Println(runtime.Version())
		return
	}
	prepare, ok := benches[*name]
	if !ok {
		fmt.Fprintf(os.Stderr, "no benchmark named %q\n", *name)
		os.Exit(2)
	}
	// A program that never reads its heap profile is linked with sampling off. The other side samples, so this one
	// must, too.
	runtime.MemProfile(nil, false)

	work := prepare(*n)
	r := result{Name: *name}
	for i := 0; i < *warmup; i++ {
		r.Check = work()
	}
	for i := 0; i < *samples; i++ {
		cpuBefore := cpuTime()
		start := time.Now()
		check := work()
		elapsed := time.Since(start)
		cpu := cpuTime() - cpuBefore
		if i+*warmup > 0 && r.Check != "" && check != r.Check {
			fmt.Fprintf(os.Stderr, "%s: %s in one run, %s in another\n", *name, r.Check, check)
			os.Exit(1)
		}
		r.Check = check
		r.Samples = append(r.Samples, float64(elapsed.Nanoseconds())/float64(*n))
		if cpu > 0 {
			r.CPU = append(r.CPU, float64(cpu)/float64(*n))
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
