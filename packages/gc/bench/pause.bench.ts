/**
 * How long a collector keeps a program waiting. A program with a live heap of small objects replaces them, 64
 * allocations and a safepoint a step, and measures the time of each step. Beside it runs the same program with JS
 * objects under V8's collector, in a process of its own.
 *
 *     pnpm build && node bench/pause.bench.ts \
 *         [live=1024] [seconds=10] [side=both|gort|v8] [mode=0] [why=1]      (Node 22.18 or later)
 *
 * `live` is in MiB of objects of 32 bytes; V8's have two fields and take 40. `mode` is gcstoptheworld. `why` lists the
 * steps over 2 ms.
 *
 * If Linux reports how long the thread waited for a processor, this time is subtracted from the step; `raw` is the
 * longest step with it. The rest of a step can still contain sleep, while V8's helpers collect JS garbage or the system
 * finds a page. `ran` is the longest time that a step ran.
 */
import { execFileSync } from "node:child_process";
import { openSync, readSync } from "node:fs";
import { createAllocator } from "@gort/allocator";
import { createCollector } from "@gort/gc";

const args = Object.fromEntries(process.argv.slice(2).map((a) => a.split("=") as [string, string]));
const live = Number(args.live ?? 1024) * 2 ** 20;
const seconds = Number(args.seconds ?? 10);
const CHAIN = 1024;
const STEP = 64;
const LONG_MS = 2;
const chains = Math.floor(live / 32 / CHAIN);

/** A table of chains of 1024 objects. */
interface Side {
  /** Allocates 64 objects in front of the chain that is being built; a safepoint. */
  step(): void;
  /** Puts that chain into the table, at i, and begins another. */
  replace(i: number): void;
  /** Objects in the table. */
  count(): number;
  /** Collections since the program runs. */
  cycles(): number;
  /** What the collector is doing. */
  phase(): string;
}

function gort(): Side {
  const a = createAllocator();
  const gc = createCollector(a, { gogc: -1, godebug: `gcstoptheworld=${args.mode ?? 0}` });
  const node = a.newType(32, [0b0011]);
  const table = gc.refs.alloc(a.mallocgc(8 * chains, a.newType(8, [1]), true));
  const building = gc.refs.alloc(0);
  let first = 0;
  const side: Side = {
    step() {
      let head = gc.refs.get(building);
      for (let i = 0; i < STEP; i++) {
        const p = a.mallocTyped(node);
        gc.storePointer(p, head);
        head = p;
      }
      gc.storePointer(building, head);
      gc.pollSafepoint();
    },
    replace(i) {
      gc.storePointer(gc.refs.get(table) + 8 * i, gc.refs.get(building));
      gc.storePointer(building, 0);
    },
    count() {
      let n = 0;
      const { u32 } = a.mem;
      for (let i = 0; i < chains; i++) {
        for (let p = u32[(gc.refs.get(table) + 8 * i) >>> 2]; p !== 0; p = u32[p >>> 2]!) n++;
      }
      return n;
    },
    cycles: () => gc.readGCStats().numGC - first,
    phase: () => `${gc.marking ? "marking" : gc.sweeper.done ? "at rest" : "sweeping"} (${side.cycles()})`,
  };
  fill(side);
  gc.setGCPercent(100);
  first = gc.readGCStats().numGC;
  return side;
}

interface Node {
  next: Node | null;
  n: number;
}

function v8(): Side {
  const table: (Node | null)[] = new Array(chains).fill(null);
  let head: Node | null = null;
  const side: Side = {
    step() {
      for (let i = 0; i < STEP; i++) head = { next: head, n: i };
    },
    replace(i) {
      table[i] = head;
      head = null;
    },
    count() {
      let n = 0;
      for (const chain of table) for (let p = chain; p !== null; p = p.next) n++;
      return n;
    },
    cycles: () => 0,
    phase: () => "",
  };
  fill(side);
  return side;
}

function fill(side: Side): void {
  for (let i = 0; i < chains; i++) {
    for (let k = 0; k < CHAIN; k += STEP) side.step();
    side.replace(i);
  }
}

const schedstat = ((): number => {
  try {
    return openSync("/proc/self/schedstat", "r");
  } catch {
    return -1;
  }
})();
const text = new Uint8Array(64);
/** Milliseconds that this thread has run, and that it was ready to and did not, as of the last call of `look`. */
const sched = { run: 0, ready: 0 };

/**
 * Makes no garbage: V8 would collect it in the middle of a step, and wait for its helpers, which wait for a processor.
 */
function look(): void {
  if (schedstat < 0) return;
  readSync(schedstat, text, 0, text.length, 0);
  let i = 0;
  let ns = 0;
  for (; text[i] !== 32; i++) ns = ns * 10 + text[i] - 48;
  sched.run = ns / 1e6;
  ns = 0;
  for (i++; text[i] !== 32; i++) ns = ns * 10 + text[i] - 48;
  sched.ready = ns / 1e6;
}

function measure(name: string, make: () => Side): void {
  const side = make();
  let x = 1;
  const next = (k: number): number => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return Math.floor((x / 2 ** 32) * k);
  };
  const us = new Float32Array(2 ** 24);
  let steps = 0;
  let built = 0;
  let raw = 0;
  let ran = 0;
  const long: string[] = [];
  const t0 = performance.now();
  let last = t0;
  look();
  let { run, ready } = sched;
  while (last - t0 < seconds * 1000) {
    side.step();
    built += STEP;
    if (built === CHAIN) {
      side.replace(next(chains));
      built = 0;
    }
    const t = performance.now();
    let ms = t - last;
    last = t;
    // A system call a step would be most of it: short steps are taken as they are.
    if (ms > 0.5 || steps % 64 === 0) {
      look();
      raw = Math.max(raw, ms);
      if (ms > 0.5) {
        const wall = ms;
        ms = Math.max(0, ms - (sched.ready - ready));
        ran = Math.max(ran, Math.min(ms, sched.run - run));
        if (ms > LONG_MS) {
          const parts = `ran ${(sched.run - run).toFixed(2)}, ready ${(sched.ready - ready).toFixed(2)}`;
          long.push(`${((t - t0) / 1000).toFixed(3)} s: ${wall.toFixed(2)} ms, ${parts}; ${side.phase()}`);
        }
      }
      ({ run, ready } = sched);
      last = performance.now();
    }
    us[steps++ & (2 ** 24 - 1)] = ms * 1000;
  }
  if (side.count() !== chains * CHAIN) throw new Error(`the table has ${side.count()} objects`);
  const sorted = us.subarray(0, Math.min(steps, us.length)).sort();
  const q = (f: number): string =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * f))].toFixed(0);
  console.log(
    `${process.version} ${name}, live ${chains * CHAIN} objects: ${steps} steps of ${STEP}, ` +
      `microseconds p50 ${q(0.5)} ` +
      `p99 ${q(0.99)} p99.9 ${q(0.999)} p99.99 ${q(0.9999)} max ${q(1)} ` +
      `(ran ${(ran * 1000).toFixed(0)}, raw ${(raw * 1000).toFixed(0)})` +
      (name === "gort" ? `; ${side.cycles()} cycles` : ""),
  );
  if (args.why !== undefined) for (const line of long) console.log(line);
}

const side = args.side ?? "both";
if (side !== "v8") measure("gort", gort);
if (side === "both") {
  const script = process.argv[1];
  const flags = [...process.execArgv, "--max-old-space-size=3000"];
  const out = execFileSync(process.execPath, [...flags, script, ...process.argv.slice(2), "side=v8"]);
  process.stdout.write(out);
}
if (side === "v8") measure("V8", v8);
