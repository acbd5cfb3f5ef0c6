/** The tasks of the program. */
import { gosched, type HeapChan, int, lockOSThread, type Slice, sleep, struct, task } from "@gort/runtime";

const { url } = import.meta;

export const Point = struct("Point", { x: int, y: int });

/** Adds the numbers on a thread of its own: waits until the other one has begun, too. */
export const sum = task(
  url,
  function* (numbers: Slice<typeof int>, sums: HeapChan<typeof int>, begun: Slice<typeof int>, i: number) {
    lockOSThread();
    begun.set(i, 1);
    while (begun.get(0) + begun.get(1) < 2) yield* gosched();
    let total = 0;
    for (const n of numbers) total += n;
    yield* sums.send(total);
  },
  { name: "sum" },
);

/** Sends the squares of what it receives, until the channel is closed. */
export const square = task(
  url,
  function* (points: HeapChan<typeof Point>, squares: HeapChan<typeof int>) {
    yield* points.forEach(function* ({ x, y }) {
      yield* squares.send(x * x + y * y);
    });
  },
  { name: "square" },
);

/** Ends its thread or its program in some way. */
export const fail = task(
  url,
  function* (how: string) {
    yield* sleep(1);
    const host = globalThis as { close?(): void; process?: { exit(code: number): void } };
    if (how === "panic") throw new RangeError("boom");
    if (how === "rejection") Promise.reject(new TypeError("unhandled"));
    if (how === "exception")
      setTimeout(() => {
        throw new TypeError("from a timer");
      });
    if (how === "close") host.process === undefined ? host.close?.() : host.process.exit(3);
    yield* sleep(60_000);
  },
  { name: "fail" },
);
