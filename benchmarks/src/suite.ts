// The table of the benchmarks, one row each. The names stay, because results of different days are compared by name.
//
// Both sides do the same number of operations a sample, so the harness can compare the checks that their work produces.
// The sizes let a sample take some tenths of a second on the slower side.

/** V8 alone, and with `--peers` the libraries that npm offers for concurrent programs. */
export type Peer = "v8" | OneThread | NpmPeer;
/** gort with the same work on one thread: a peer of the benchmarks of two. */
export type OneThread = "gort@1";
export type NpmPeer = "async" | "effect" | "js-csp" | "ts-chan" | "@thi.ng/csp" | "sql.js" | "@thi.ng/malloc";

export interface Benchmark {
  readonly name: string;
  /** Unit of one operation's cost, as printed: `ns/op`, `ns/object`, or `ms` for a whole program. */
  readonly unit: "ns/op" | "ns/object" | "ms";
  /** One operation, and the state in which it runs. */
  readonly what: string;
  /** Operations a sample. */
  readonly n: number;
  /** The same under `--quick`. */
  readonly quickN: number;
  /** Untimed runs before the timed ones: enough for V8's optimizing compiler to finish. */
  readonly warmup: number;
  /** Timed runs in one process. */
  readonly samples: number;
  /** Whether Go can do this work. */
  readonly go: boolean;
  /** GOMAXPROCS on gort's side and on Go's. */
  readonly procs: 1 | 2;
  /** Peers apart from Go that can do this work. */
  readonly peers: readonly Peer[];
}

const NOTHING_LIVE = "nothing else live, collections included, profile sampling on (512 KiB)";
const CHANNELS: readonly Peer[] = ["async", "effect", "js-csp", "ts-chan", "@thi.ng/csp"];
const TREES = "a complete binary tree of objects of 32 B (two pointers, two words)";

function row(
  name: string,
  unit: Benchmark["unit"],
  what: string,
  n: number,
  quickN: number,
  more: Partial<Benchmark> = {},
): Benchmark {
  return { name, unit, what, n, quickN, warmup: 3, samples: 5, go: true, procs: 1, peers: [], ...more };
}

/** Benchmarks of two threads, which also run on one. */
const SPLIT = { procs: 2, peers: ["gort@1"] } as const;

/** A row for each way to send through a channel in the heap. */
function heapChan(
  name: string,
  what: string,
  n: readonly [number, number],
  more: Partial<Benchmark> = {},
): Benchmark[] {
  const across = name.endsWith("AcrossThreads");
  return [
    row(`${name}${across ? "" : "Unbuffered"}`, "ns/op", `${what}, unbuffered`, n[0], n[0] / 10, more),
    row(
      `${name}${across ? "100" : "Buffered100"}`,
      "ns/op",
      `${what}, through a buffer of 100`,
      n[1],
      n[1] / 10,
      more,
    ),
  ];
}

export const suite: readonly Benchmark[] = [
  row("Malloc16", "ns/op", `allocate 16 B without pointers; ${NOTHING_LIVE}`, 1e7, 1e6, { peers: ["v8"] }),
  row("MallocP32", "ns/op", `allocate 32 B, two of four words pointers; ${NOTHING_LIVE}`, 1e7, 1e6, {
    peers: ["v8"],
  }),
  row("Malloc1K", "ns/op", `allocate 1 KiB without pointers; ${NOTHING_LIVE}`, 1e6, 1e5, { peers: ["v8"] }),
  row("Malloc8Tiny", "ns/op", `allocate 8 B without pointers (tiny allocator); ${NOTHING_LIVE}`, 1e7, 1e6),
  row("Malloc64K", "ns/op", `allocate 64 KiB without pointers; ${NOTHING_LIVE}`, 5e4, 1e4),
  ...["16", "P32", "1K"].flatMap((size) =>
    [true, false].map((fragmented) =>
      row(
        `Malloc${fragmented ? "Fragmented" : "Compact"}${size}`,
        "ns/op",
        `the same as Malloc${size} with 2 MiB of such objects alive, ` +
          `${fragmented ? "every fourth of every other span" : "side by side"}; GOGC=200`,
        size === "1K" ? 1e6 : 1e7,
        size === "1K" ? 1e5 : 1e6,
      ),
    ),
  ),
  row("MallocFree16", "ns/op", "malloc 16 B and free the block at once, in a heap used by hand", 1e7, 1e6, {
    go: false,
    peers: ["sql.js", "@thi.ng/malloc"],
  }),
  row(
    "MallocFreeTrace",
    "ns/op",
    "of 10000 blocks free one at random and allocate another of 16 to 1024 B in its place, by hand",
    2e6,
    2e5,
    { go: false, peers: ["sql.js"] },
  ),
  row("GoroutineSpawn", "ns/op", "start a goroutine, run it, let it end; in batches of 1000", 5e5, 5e4, {
    warmup: 8,
    peers: ["v8", "async", "effect", "js-csp"],
  }),
  row("Gosched", "ns/op", "one of two goroutines yields to the other", 2e6, 2e5, {
    peers: ["v8", "async", "effect"],
  }),
  row("ChanUnbuffered", "ns/op", "send an integer from one goroutine to another, unbuffered", 1e6, 1e5, {
    peers: CHANNELS,
  }),
  row("ChanBuffered100", "ns/op", "the same through a buffer of 100", 4e6, 4e5, { peers: CHANNELS }),
  row(
    "ChanBuffered100Try",
    "ns/op",
    "the same, trying first (trySend, tryRecv) and blocking only where needed",
    4e6,
    4e5,
  ),
  row(
    "Select2",
    "ns/op",
    "receive from one of 2 unbuffered channels that one sender feeds in turn",
    5e5,
    5e4,
    { peers: ["js-csp", "ts-chan", "@thi.ng/csp"] },
  ),
  row(
    "Select4",
    "ns/op",
    "receive from one of 4 unbuffered channels that one sender feeds in turn",
    5e5,
    5e4,
    { peers: ["js-csp", "ts-chan"] },
  ),
  row(
    "PrimeSieve2000",
    "ms",
    "the prime sieve up to the 2,000th prime: a goroutine a prime, 2 million values over unbuffered channels",
    1,
    1,
    { warmup: 1, samples: 3 },
  ),
  row(
    "MarkAllocOrder",
    "ns/object",
    `a forced collection, sweep included, of ${TREES} laid out in allocation order`,
    2 ** 23 - 1,
    2 ** 20 - 1,
    {
      warmup: 2,
      peers: ["v8"],
    },
  ),
  row(
    "MarkRandom",
    "ns/object",
    `a forced collection, sweep included, of ${TREES} laid out at random`,
    2 ** 23 - 1,
    2 ** 20 - 1,
    {
      warmup: 2,
      peers: ["v8"],
    },
  ),
  ...["AllocOrder", "Random"].flatMap((order) =>
    ["JS", "Wasm"].map((twin) =>
      row(
        `Mark${order}${twin}`,
        "ns/object",
        `Mark${order} with the marker's ${twin === "JS" ? "TypeScript" : "WebAssembly"} twin, ` +
          "whatever the memory's kernel, without a runtime",
        2 ** 23 - 1,
        2 ** 20 - 1,
        { warmup: 2 },
      ),
    ),
  ),
  row(
    "BinaryTrees18",
    "ms",
    "the binary-trees program at depth 18: 34.8 million objects of 16 B, 24 MB live at most",
    1,
    1,
    {
      warmup: 1,
      samples: 3,
      peers: ["v8"],
    },
  ),
  row("BinaryTrees20", "ms", "the same at depth 20: 173 million objects, 67 MB live at most", 1, 1, {
    warmup: 0,
    samples: 1,
    peers: ["v8"],
  }),
  ...heapChan("HeapChan", "send an integer between goroutines through a channel in the heap", [1e6, 4e6]),
  ...heapChan(
    "HeapChanShared",
    "the same between goroutines of one thread, while a second thread may use the channel",
    [1e6, 4e6],
    { procs: 2 },
  ),
  ...heapChan(
    "HeapChanAcrossThreads",
    "the same from a goroutine of one thread to one of another",
    [3e5, 3e6],
    {
      procs: 2,
    },
  ),
  row(
    "HeapChanBatched",
    "ns/op",
    "the same through a buffer of 1000 in batches of 100; Go sends the integers one by one",
    1e7,
    1e6,
    { procs: 2 },
  ),
  row(
    "WakeRoundTrip",
    "ns/op",
    "send an integer to a goroutine of another thread and get it back; both goroutines have locked their threads",
    2e4,
    2e3,
    { procs: 2 },
  ),
  row(
    "AtomicRoundTrip",
    "ns/op",
    "change a word of the memory, and wait until another thread has changed another word: what each exchange costs",
    2e5,
    2e4,
    { procs: 2 },
  ),
  row("ParallelSum2", "ns/op", "hash integers, half of them on each of two threads", 2e8, 2e7, SPLIT),
  row(
    "WordCount2",
    "ns/op",
    "a byte's share of counting the words of a text, in 16 tasks on two threads",
    2e8,
    2e7,
    {
      ...SPLIT,
      samples: 3,
    },
  ),
  row(
    "MallocTwoThreads16",
    "ns/op",
    `allocate 16 B without pointers, half of the objects on each of two threads; ${NOTHING_LIVE}`,
    2e7,
    2e6,
    SPLIT,
  ),
  row("MallocTwoThreads1K", "ns/op", "the same with objects of 1 KiB", 2e6, 2e5, SPLIT),
  row("MarkTwoThreads", "ns/object", "MarkAllocOrder in a program of two threads", 2 ** 23 - 1, 2 ** 20 - 1, {
    ...SPLIT,
    warmup: 2,
  }),
  row("BinaryTrees18P2", "ms", "BinaryTrees18 with the short-lived trees made on two threads", 1, 1, {
    ...SPLIT,
    warmup: 1,
    samples: 3,
  }),
  row("WorkerReady", "ms", "make a runtime and run a task on its first worker", 1, 1, {
    procs: 2,
    warmup: 1,
    go: false,
  }),
  row("ReadMemStats", "ns/op", "read the statistics of a heap of 100000 live objects of 32 B", 20000, 5000),
  row("Caller", "ns/op", "ask for file and line of the calling place", 2e5, 2e4),
  row("Callers8", "ns/op", "record the PCs of eight frames", 2e5, 2e4),
  row("CallersFrames32", "ns/op", "record 32 frames, and look up name, file and line of each", 2e4, 5e3),
  row("Stack32", "ns/op", "print the running goroutine's own stack of 32 frames", 2e4, 5e3),
  row(
    "StackAll1000",
    "ns/op",
    "a goroutine's share of the text of all stacks: 1000 goroutines that wait, four calls deep",
    20000,
    5000,
  ),
  row(
    "StackAll1000Fresh",
    "ns/op",
    "the same when every goroutine has been woken since the last text and waits anew; waking is part of it",
    20000,
    5000,
  ),
  row(
    "BlockEvents",
    "ns/op",
    "send an integer through an unbuffered channel with the block profile at rate 1",
    1e5,
    2e4,
  ),
  row(
    "BlockEventsSampled",
    "ns/op",
    "the same with the option blockStackPeriod: 16, which takes fewer stacks than Go",
    1e5,
    2e4,
  ),
  row(
    "ProfileCustom",
    "ns/op",
    "add a value to a profile of one's own, and its share of writing it",
    1e5,
    2e4,
  ),
];

/** The benchmarks whose name matches, in the suite's order. Throws a SyntaxError if `only` is no regular expression. */
export function select(only: string | undefined): readonly Benchmark[] {
  if (only === undefined || only === "") return suite;
  const pattern = new RegExp(only);
  return suite.filter(({ name }) => pattern.test(name));
}
