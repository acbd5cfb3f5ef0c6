/** Goroutines that look for a moment before they park. A load by one of them is the moment in which another M acts. */
import { recvCase, select } from "@gort/scheduler";
import { createTestScheduler, type TestScheduler, verifyScheduler } from "@gort/scheduler/testing";
import { createBumpHeap, createTypes, int, type Slice, type TypedHeap } from "@gort/types";
import { describe, expect, it } from "vitest";
import { HeapChans } from "../src/chans.ts";
import type { HeapChan } from "../src/heap-chan.ts";
import { Waiters } from "../src/sudog.ts";
import { verifyChan } from "../src/testing.ts";

type Ints = HeapChan<typeof int>;

interface World {
  readonly s: TestScheduler;
  readonly types: TypedHeap;
  /** The channel, as M 0 and M 1 have it. */
  readonly c: Ints;
  readonly other: Ints;
  /** What M 0's Waiters know of the others. */
  readonly others: { count: number; cpus: number; pending: boolean };
  /** What M 1 does at the first look of M 0. */
  act: () => void;
  /** Looks of M 0. */
  looks: number;
  /** Sudogs that were posted to M 0. */
  posts: number;
}

function createSlice({ types }: World, ...values: number[]): Slice<typeof int> {
  const s = types.makeSlice(int, values.length);
  for (const [i, v] of values.entries()) s.set(i, v);
  return s;
}

/** Runs `main` as a goroutine of M 0. */
function run(
  capacity: number,
  main: (w: World) => Generator<undefined, void, unknown>,
  prepare: (w: World) => void = () => {},
): World {
  const heap = createBumpHeap({ maxMemory: 64 << 20 });
  const { kernel } = heap.mem;
  let w: World | null = null;
  const load = (addr: number): number => {
    if (w !== null) {
      w.looks++;
      const { act } = w;
      w.act = () => {};
      act();
    }
    return kernel.load(addr);
  };
  Object.defineProperty(heap.mem, "kernel", { value: { ...kernel, load } });
  const s = createTestScheduler();
  const others = { m: 0, count: 2, cpus: 2, pending: false, post: () => {} };
  const chansOf = (waiters: Waiters, types: TypedHeap): HeapChans => new HeapChans(types, s, waiters);
  const waiters = new Waiters(heap.mem, others);
  const types = createTypes(heap);
  const c = chansOf(waiters, types).make(int, capacity);
  const post = (_m: number, sg: Parameters<Waiters["deliver"]>[0]): void => {
    w!.posts++;
    waiters.deliver(sg);
  };
  const other = chansOf(new Waiters(heap.mem, { m: 1, post }), createTypes(heap)).at(c.$addr, int);
  const world: World = { s, types, c, other, others, act: () => {}, looks: 0, posts: 0 };
  w = world;
  prepare(world);
  s.runMain(() => main(world));
  verifyScheduler(s);
  verifyChan(heap.mem, c.$addr);
  const { inUse } = waiters.stats();
  expect(inUse).toBe(0);
  return world;
}

describe("a goroutine that lingers", () => {
  it("receives what another thread sends meanwhile, without a post", () => {
    const w = run(0, function* (w) {
      const { c, other } = w;
      for (let i = 1; i <= 3; i++) {
        w.act = () => expect(other.trySend(i)).toBe(true);
        expect(yield* c.recv()).toBe(i);
      }
    });
    expect(w.posts).toBe(0);
  });

  it("hands its value to a receiver of another thread, without a post", () => {
    const w = run(0, function* (w) {
      const got: unknown[] = [];
      for (let i = 1; i <= 3; i++) {
        w.act = () => got.push(w.other.tryRecv());
        yield* w.c.send(i);
      }
      expect(got).toEqual([1, 2, 3].map((value) => ({ value, ok: true, received: true })));
    });
    expect(w.posts).toBe(0);
  });

  it.each([0, 2])("finds the channel closed (capacity %i)", (capacity) => {
    run(capacity, function* (w) {
      const close = () => w.other.close();
      w.act = close;
      expect(yield* w.c.recv2()).toEqual({ value: undefined, ok: false });
    });
    run(capacity, function* (w) {
      for (let i = 0; i < capacity; i++) yield* w.c.send(i);
      w.act = () => w.other.close();
      let error: unknown;
      try {
        yield* w.c.send(1);
      } catch (e) {
        error = e;
      }
      expect(String(error)).toContain("send on closed channel");
    });
  });

  it("parks if no partner comes, and is woken by a post", () => {
    const w = run(0, function* (w) {
      w.s.go(function* () {
        yield* w.s.sleep(1);
        w.other.trySend(7);
      });
      yield* w.s.gosched();
      expect(yield* w.c.recv()).toBe(7);
    });
    expect(w.looks).toBeGreaterThan(10);
    expect(w.posts).toBe(1);
  });

  it("is in no queue of a channel with a ring, and takes the first of several elements", () => {
    const w = run(4, function* (w) {
      w.act = () => {
        for (let i = 1; i <= 4; i++) expect(w.other.trySend(i)).toBe(true);
        expect(w.other.length).toBe(4);
      };
      expect(yield* w.c.recv()).toBe(1);
      expect(w.c.length).toBe(3);
      yield* w.c.send(5);
      w.act = () => expect(w.other.tryRecv().value).toBe(2);
      yield* w.c.send(6);
      expect(w.c.length).toBe(4);
    });
    expect(w.posts).toBe(0);
  });

  it.each([0, 4])("moves batches meanwhile (capacity %i)", (capacity) => {
    const w = run(capacity, function* (w) {
      const batch = createSlice(w, 1, 2, 3, 4, 5, 6);
      const got: unknown[] = [];
      // Each of the other thread's receives comes while the sender lingers for it.
      const take = (): void => {
        got.push(w.other.tryRecv().value);
        if (got.length < 6 - capacity) w.act = take;
      };
      w.act = take;
      yield* w.c.sendAll(batch);
      while (got.length < 6) got.push(yield* w.c.recv());
      expect(got).toEqual([1, 2, 3, 4, 5, 6]);
      w.act = () => {
        for (let i = 7; i <= 9; i++) w.other.trySend(i);
      };
      const n = Math.min(3, Math.max(1, capacity));
      expect(yield* w.c.recvInto(batch)).toBe(n);
      expect([...batch].slice(0, n)).toEqual([7, 8, 9].slice(0, n));
    });
    expect(w.posts).toBe(0);
  });

  it("leaves its sudog ready for a wait of the same goroutine that parks", () => {
    run(0, function* (w) {
      w.act = () => w.other.trySend(1);
      expect(yield* w.c.recv()).toBe(1);
      w.s.go(() => void w.other.trySend(2));
      expect(yield* w.c.recv()).toBe(2);
      expect(w.posts).toBe(1);
    });
  });
});

describe("a goroutine does not linger", () => {
  const looksOf = (capacity: number, prepare: (w: World) => void): number =>
    run(
      capacity,
      function* (w) {
        w.s.afterFunc(1, () => void w.other.trySend(1));
        w.looks = 0;
        expect(yield* w.c.recv()).toBe(1);
      },
      prepare,
    ).looks;

  it.each([0, 2])(
    "on one processor, without other threads, or if another thread calls (capacity %i)",
    (capacity) => {
      expect(looksOf(capacity, () => {})).toBeGreaterThan(5);
      expect(looksOf(capacity, ({ others }) => void (others.cpus = 1))).toBe(0);
      expect(looksOf(capacity, ({ others }) => void (others.count = 1))).toBe(0);
      expect(looksOf(capacity, ({ others }) => void (others.pending = true))).toBe(0);
    },
  );

  it("while another goroutine of its thread can run", () => {
    const looks = run(0, function* (w) {
      w.s.go(() => void w.other.trySend(1));
      w.looks = 0;
      expect(yield* w.c.recv()).toBe(1);
    }).looks;
    expect(looks).toBe(0);
  });

  it("while waits are timed for the block profile", () => {
    expect(looksOf(0, ({ s }) => void (s.blockProfileEnabled = true))).toBe(0);
  });

  it("at the end of its time slice, and while a safepoint is requested", () => {
    const over = { value: () => true };
    expect(looksOf(0, ({ s }) => void Object.defineProperty(s, "shouldYield", over))).toBe(0);
    const { looks } = run(0, function* (w) {
      w.s.afterFunc(1, () => void w.other.trySend(1));
      w.s.requestSafepoint();
      w.looks = 0;
      expect(yield* w.c.recv()).toBe(1);
    });
    expect(looks).toBe(0);
  });

  it("in a select", () => {
    const { looks } = run(0, function* (w) {
      w.s.afterFunc(1, () => void w.other.trySend(1));
      w.looks = 0;
      expect(yield* select([recvCase(w.c), recvCase(w.c)])).toMatchObject({ value: 1, ok: true });
    });
    expect(looks).toBe(0);
  });
});
