/**
 * The study of buffers: a Go program, statement for statement.
 *
 * The pool is a slice of slices in the runtime's heap, so the collector finds the buffers by following pointers. A
 * `Slice` in JavaScript is a handle that roots its array. Where a Go program simply drops the variable, this one
 * releases the handle: V8 would release it only at its own next collection.
 */
import {
  type Chan,
  defaultCase,
  type MemStats,
  type Runtime,
  recvCase,
  type Slice,
  sendCase,
  slice,
  uint8,
} from "@gort/runtime";
import { lcg } from "./lcg.ts";

export const VARIANTS = ["garbage", "channel", "recycler"] as const;
export type Variant = (typeof VARIANTS)[number];

export interface Study {
  variant: Variant;
  /** Steps to take; Infinity for no end. */
  steps: number;
  /** Seed of the sizes. The seed of the choice which buffer to replace is one more. */
  seed: number;
  /** Buffers in the pool. */
  slots: number;
  /** A buffer has `minBytes` to `minBytes + spanBytes - 1` bytes. */
  minBytes: number;
  spanBytes: number;
  /** Capacity of the channel in the variant `channel`. */
  channelCapacity: number;
  /** In the variant `recycler`, buffers that were idle for longer are dropped. */
  maxIdleMs: number;
  /** Milliseconds between steps; 0: as fast as possible. */
  intervalMs: number;
  /** Closed to end the study early. */
  stop: Chan<never> | null;
  onRow(row: Row, stats: MemStats): void;
}

/** The classic study. */
export const STANDARD: Omit<Study, "variant" | "steps" | "intervalMs" | "stop" | "onRow"> = {
  seed: 1,
  slots: 20,
  minBytes: 5_000_000,
  spanBytes: 5_000_000,
  channelCapacity: 5,
  maxIdleMs: 60_000,
};

/** The figures of a step. All but `makes` are bytes. */
export interface Row {
  HeapSys: number;
  /** Bytes in the buffers of the pool. */
  bytes: number;
  HeapAlloc: number;
  HeapIdle: number;
  HeapReleased: number;
  /** Buffers allocated so far. */
  makes: number;
}

export const COLUMNS = ["HeapSys", "bytes", "HeapAlloc", "HeapIdle", "HeapReleased", "makes"] as const;

type Buffer = Slice<typeof uint8>;
type Blocking<T> = Generator<undefined, T, unknown>;

/** The source of new buffers, which also receives the replaced ones. */
interface Source {
  get(): Blocking<Buffer>;
  give(b: Buffer): Blocking<void>;
}

/**
 * One byte of each page is written, so that the operating system must provide the page, as for a buffer in real use.
 */
const PAGE_BYTES = 4096;

/** The main goroutine of the study. */
export function* recycling(rt: Runtime, study: Study): Blocking<void> {
  const size = lcg(study.seed);
  const choose = lcg(study.seed + 1);
  let makes = 0;
  const make = (): Buffer => {
    makes++;
    const b = rt.makeSlice(uint8, study.minBytes + size(study.spanBytes));
    for (let i = 0; i < b.length; i += PAGE_BYTES) b.set(i, makes & 0xff);
    return b;
  };
  const source = SOURCES[study.variant](rt, study, make);
  const pool = rt.makeSlice(slice(uint8), study.slots);
  const lengths = new Array<number>(study.slots).fill(0);
  const stats = rt.readMemStats();
  try {
    for (let step = 0; step < study.steps; step++) {
      const b = yield* source.get();
      const i = choose(study.slots);
      const old = pool.get(i);
      if (old.isNil) old.release();
      else yield* source.give(old);
      pool.set(i, b);
      lengths[i] = b.length;
      b.release();
      if (!(yield* pause(rt, study))) return;
      const bytes = lengths.reduce((sum, n) => sum + n, 0);
      rt.readMemStats(stats);
      const { HeapSys, HeapAlloc, HeapIdle, HeapReleased } = stats;
      study.onRow({ HeapSys, bytes, HeapAlloc, HeapIdle, HeapReleased, makes }, stats);
    }
  } finally {
    pool.release();
  }
}

/** Waits for the next step, and is a safepoint. Returns false if `stop` ended the study. */
function* pause(rt: Runtime, { intervalMs, stop }: Study): Blocking<boolean> {
  if (intervalMs > 0) {
    const { index } = yield* rt.select([recvCase(stop), recvCase(rt.after(intervalMs))]);
    return index === 1;
  }
  yield* rt.gosched();
  return stop === null || !stop.tryRecv().received;
}

const SOURCES: Record<Variant, (rt: Runtime, study: Study, make: () => Buffer) => Source> = {
  garbage: (_rt, _study, make) => ({
    *get() {
      return make();
    },
    *give(b) {
      b.release();
    },
  }),

  channel(rt, study, make) {
    const c = rt.makeChan<Buffer>(study.channelCapacity);
    return {
      *get() {
        const { index, value } = yield* rt.select([recvCase(c), defaultCase]);
        return index === 0 ? (value as Buffer) : make();
      },
      *give(b) {
        const { index } = yield* rt.select([sendCase(c, b), defaultCase]);
        if (index === 1) b.release();
      },
    };
  },

  recycler(rt, study, make) {
    const get = rt.makeChan<Buffer>();
    const give = rt.makeChan<Buffer>();
    rt.go(recycler, rt, get, give, make, study.maxIdleMs);
    return {
      *get() {
        return (yield* get.recv()) as Buffer;
      },
      give: (b) => sendTo(give, b),
    };
  },
};

function* sendTo(c: Chan<Buffer>, b: Buffer): Blocking<void> {
  yield* c.send(b);
}

/** Keeps idle buffers, the most recent one in front. If it has none to offer, it makes one. */
function* recycler(
  rt: Runtime,
  get: Chan<Buffer>,
  give: Chan<Buffer>,
  make: () => Buffer,
  maxIdleMs: number,
): Blocking<void> {
  let idle: { buffer: Buffer; since: number }[] = [];
  for (;;) {
    if (idle.length === 0) idle.unshift({ buffer: make(), since: performance.now() });
    const timeout = rt.newTimer(maxIdleMs);
    const { index, value } = yield* rt.select([
      recvCase(give),
      sendCase(get, idle[0].buffer),
      recvCase(timeout.C),
    ]);
    timeout.stop();
    if (index === 0) {
      idle.unshift({ buffer: value as Buffer, since: performance.now() });
    } else if (index === 1) {
      idle.shift();
    } else {
      const now = performance.now();
      const fresh = idle.filter(({ since }) => now - since <= maxIdleMs);
      for (const { buffer, since } of idle) if (now - since > maxIdleMs) buffer.release();
      idle = fresh;
    }
  }
}
