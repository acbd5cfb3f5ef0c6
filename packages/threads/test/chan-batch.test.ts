import { createScheduler } from "@gort/scheduler";
import { Gwaiting } from "@gort/scheduler/internal";
import { createTestScheduler, verifyScheduler } from "@gort/scheduler/testing";
import {
  array,
  createBumpHeap,
  createTypes,
  int,
  type Slice,
  slice,
  string,
  struct,
  type Type,
  uint8,
} from "@gort/types";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HeapChans } from "../src/chans.ts";
import { HCHAN_AT } from "../src/hchan.ts";
import type { HeapChan } from "../src/heap-chan.ts";
import { cond } from "../src/lock-types.ts";
import { Waiters } from "../src/sudog.ts";
import { verifyChan } from "../src/testing.ts";
import { addrOf, heap, modes, run, TestChans, types } from "./kit.ts";
import { Machines } from "./machines.ts";

const Point = struct("Point", { x: int, name: string });

type Body = Generator<undefined, void, unknown>;

function ints(...values: number[]): Slice<typeof int> {
  const s = types.makeSlice(int, values.length);
  for (const [i, v] of values.entries()) s.set(i, v);
  return s;
}

/** What a batch has received, as plain values. */
function plain(s: Slice<Type>, n: number): unknown[] {
  return (JSON.parse(JSON.stringify(s)) as unknown[]).slice(0, n);
}

function errorOf(f: () => unknown): string {
  try {
    f();
  } catch (error) {
    return String(error);
  }
  return "no error";
}

const values: readonly [string, Type, readonly unknown[]][] = [
  ["int", int, [1, -2, 3, 4, 5, 6, 7]],
  ["string", string, ["a", "", "ccc", "d", "e", "f", "g"]],
  ["Point", Point, Array.from({ length: 7 }, (_, x) => ({ x, name: `p${x}` }))],
  ["[]int", slice(int), [[1], [], [2, 3], [4], [5, 6, 7], [8], [9]]],
  ["struct {}", struct("Empty", {}), Array.from({ length: 7 }, () => ({}))],
];

describe.each(modes)("batches of a %s channel", (mode) => {
  describe.each([0, 1, 3, 10])("of capacity %i", (capacity) => {
    it.each(values)("carry %s in order, if the sender or the receiver is first", (_name, type, list) => {
      for (const early of [true, false]) {
        run(mode, function* (s, h) {
          const c: HeapChan = h.make(type, capacity);
          const src: Slice<Type> = types.makeSlice(type, list.length);
          for (const [i, v] of list.entries()) src.set(i, v);
          const send = function* (): Body {
            yield* c.sendAll(src);
            yield* c.sendAll(src.slice(2, 3));
            c.close();
          };
          const got: unknown[] = [];
          const receive = function* (): Body {
            const dst: Slice<Type> = types.makeSlice(type, 4);
            for (let n = yield* c.recvInto(dst); n > 0; n = yield* c.recvInto(dst))
              got.push(...plain(dst, n));
          };
          if (early) s.go(receive);
          else s.go(send);
          yield* s.gosched();
          yield* early ? send() : receive();
          yield* s.sleep(1);
          expect(got).toEqual([...list, list[2]]);
          // No slot of the ring holds a pointer any more.
          const { u32 } = heap.mem;
          const buf = u32[(addrOf(c) + HCHAN_AT.buf) >>> 2];
          if (type.hasPointers && capacity > 0) {
            const words = u32.subarray(buf >>> 2, (buf + capacity * type.size) >>> 2);
            const pointers: number[] = [];
            for (let k = 0; k < capacity; k++) {
              type.eachPointer((offset) => pointers.push(words[(k * type.size + offset) >>> 2]));
            }
            expect(pointers.every((p) => p === 0)).toBe(true);
          }
        });
      }
    });
  });

  it.each([1, 3, 4, 8, 16])("carry elements of %i bytes between arrays at odd addresses", (size) => {
    const Bytes = array(uint8, size);
    const Odd = struct("Odd", { before: uint8, list: array(Bytes, 3), after: uint8 });
    run(mode, function* (s, h) {
      const src = types.newObject(Odd);
      for (let i = 0; i < 3; i++) for (let k = 0; k < size; k++) src.list.get(i).set(k, 50 * i + k + 1);
      for (const capacity of [0, 1, 3]) {
        const c = h.make(Bytes, capacity);
        const dst = types.newObject(Odd);
        dst.before = dst.after = 255;
        s.go(function* () {
          yield* c.sendAll(src.list.slice());
          c.close();
        });
        for (let i = 0; i < 3; ) i += yield* c.recvInto(dst.list.slice(i));
        expect(JSON.stringify(dst.list)).toBe(JSON.stringify(src.list));
        expect([dst.before, dst.after]).toEqual([255, 255]);
      }
    });
  });

  it("receive what is there, wait for the first value only, and leave the rest of the slice", () => {
    run(mode, function* (s, h) {
      const c = h.make(int, 5);
      yield* c.sendAll(ints(1, 2, 3));
      const dst = ints(9, 9, 9, 9);
      expect(yield* c.recvInto(dst)).toBe(3);
      expect([...dst]).toEqual([1, 2, 3, 9]);
      s.go(function* () {
        yield* c.send(4);
        yield* c.send(5);
      });
      // The receiver waits, so the first value goes to it; the second is in the ring when it runs.
      expect(yield* c.recvInto(dst)).toBe(2);
      expect([...dst]).toEqual([4, 5, 3, 9]);
      yield* c.sendAll(ints(6, 7, 8));
      expect(yield* c.recvInto(dst.slice(0, 2))).toBe(2);
      c.close();
      expect(yield* c.recvInto(dst)).toBe(1);
      expect([...dst]).toEqual([8, 7, 3, 9]);
      expect(yield* c.recvInto(dst)).toBe(0);
    });
  });

  it.each([0, 1])("wait in no queue if no memory is left for root %i of what they need", (nth) => {
    run(mode, function* (s, h) {
      const c = h.make(int, 1);
      const values = ints(1, 2);
      const dst = ints(0, 0);
      const { newRef } = heap;
      const failing = (f: () => unknown): string => {
        let left = nth;
        heap.newRef = (addr) => {
          if (left-- === 0) throw new RangeError("full");
          return newRef.call(heap, addr);
        };
        try {
          return errorOf(f);
        } finally {
          heap.newRef = newRef;
        }
      };
      const next =
        (op: Iterable<undefined>): (() => unknown) =>
        () =>
          op[Symbol.iterator]().next();
      expect(failing(next(c.recvInto(dst)))).toBe("RangeError: full");
      // No goroutine waits for the value.
      yield* c.send(7);
      expect(c.tryRecv()).toEqual({ value: 7, ok: true, received: true });
      expect(failing(next(c.sendAll(values)))).toBe("RangeError: full");
      expect(c.length).toBe(0);
      yield* s.gosched();
    });
  });

  it("end with 0 if the channel is closed while they wait", () => {
    run(mode, function* (s, h) {
      const c = h.make(int);
      s.go(() => c.close());
      const dst = ints(1, 2);
      expect(yield* c.recvInto(dst)).toBe(0);
      expect([...dst]).toEqual([1, 2]);
    });
  });

  it("panic on a closed channel, after the values before the close", () => {
    run(mode, function* (s, h) {
      const c = h.make(int, 2);
      const got: (number | undefined)[] = [];
      s.go(function* () {
        for (let i = 0; i < 2; i++) got.push(yield* c.recv());
        c.close();
      });
      let error = "no error";
      try {
        yield* c.sendAll(ints(1, 2, 3, 4, 5, 6));
      } catch (e) {
        error = String(e);
      }
      expect(error).toContain("send on closed channel");
      for (let r = c.tryRecv(); r.ok; r = c.tryRecv()) got.push(r.value);
      // The third value was taken into the ring when the first one left it.
      expect(got).toEqual([1, 2, 3]);
      yield* c.sendAll(ints());
      expect(errorOf(() => c.sendAll(ints(1)))).toBe("no error");
    });
  });

  it("serve the goroutines that wait, in their order", () => {
    run(mode, function* (s, h) {
      const c = h.make(int, 2);
      const got: string[] = [];
      for (const name of ["a", "b", "c"]) {
        s.go(function* () {
          got.push(`${name}${yield* c.recv()}`);
        });
        yield* s.gosched();
      }
      yield* c.sendAll(ints(1, 2, 3, 4));
      yield* s.sleep(1);
      expect(got.toSorted()).toEqual(["a1", "b2", "c3"]);
      const sent: string[] = [];
      for (const [i, name] of ["d", "e", "f", "g"].entries()) {
        s.go(function* () {
          yield* c.send(5 + i);
          sent.push(name);
        });
        yield* s.gosched();
      }
      expect(sent).toEqual(["d"]);
      const dst = ints(0, 0, 0);
      expect(yield* c.recvInto(dst)).toBe(3);
      expect([...dst]).toEqual([4, 5, 6]);
      yield* s.sleep(1);
      expect(sent.toSorted()).toEqual(["d", "e", "f", "g"]);
      expect(yield* c.recvInto(dst)).toBe(2);
      expect([...dst].slice(0, 2)).toEqual([7, 8]);
    });
  });

  it("have parked their goroutine when they wake others, so that a hook can use the channel", () => {
    const got: unknown[] = [];
    let c: HeapChan<typeof int> | null = null;
    const s = createTestScheduler({
      hooks: {
        blockEvent() {
          const r = c?.tryRecv();
          if (r?.ok) got.push(`hook ${r.value}`);
        },
      },
    });
    s.blockProfileEnabled = true;
    const h = new TestChans(s, mode);
    s.runMain(function* () {
      const made = h.make(int);
      // A wait that begins at 0 is not timed.
      yield* s.sleep(1);
      s.go(function* () {
        got.push(yield* made.recv());
        // The hook has taken the value with which the goroutine of the batch waited: it is runnable.
        expect(s.gs().filter((g) => g.atomicstatus === Gwaiting)).toEqual([]);
        got.push(yield* made.recv());
      });
      yield* s.gosched();
      c = made;
      yield* made.sendAll(ints(1, 2, 3));
      c = null;
      yield* s.sleep(1);
    });
    expect(got).toEqual(["hook 2", 1, 3]);
    verifyScheduler(s);
  });

  it("go on with their array and channel if the program releases both while they wait", () => {
    run(mode, function* (s, h) {
      const c = h.make(int);
      const d = mode === "shared" ? h.chans.at(c.$addr, int) : c;
      const src = ints(1, 2, 3);
      const dst = types.makeSlice(int, 3);
      const copy = dst.slice();
      let n = 0;
      s.go(function* () {
        n = yield* c.recvInto(dst);
      });
      yield* s.gosched();
      dst.release();
      s.go(function* () {
        yield* d.sendAll(src);
      });
      yield* s.sleep(1);
      src.release();
      // The second value waited already when the receiver ran.
      expect([n, copy.get(0), copy.get(1)]).toEqual([2, 1, 2]);
      expect(yield* d.recv()).toBe(3);
    });
  });

  it("can be received with a signal: given up, they leave the values in the channel", () => {
    run(mode, function* (s, h) {
      const c = h.make(int, 3);
      const stop = new AbortController();
      s.afterFunc(1, () => stop.abort("enough"));
      let reason: unknown;
      try {
        yield* c.recvInto(ints(0)).withSignal(stop.signal);
      } catch (e) {
        reason = e;
      }
      expect(reason).toBe("enough");
      yield* c.sendAll(ints(1, 2));
      expect(c.length).toBe(2);
      expect(errorOf(() => c.sendAll(ints(1)).withSignal(stop.signal))).toContain(
        "chan send cannot be given up",
      );
    });
  });

  it("refuse what is no slice of the channel's elements", () => {
    run(mode, function* (_s, h) {
      const c = h.make(int, 3);
      const others = createTypes(createBumpHeap({ maxMemory: 64 << 20 }));
      const dead = ints(1);
      dead.release();
      const wrong: [unknown, string][] = [
        [[1, 2], "value must be a slice of int (got object)"],
        [types.makeSlice(string, 1), "value must be a slice of int (got a slice of string)"],
        [others.makeSlice(int, 1), "value must be a slice of int (got a slice of int of another heap)"],
        [dead, "released slice of int"],
      ];
      for (const [value, text] of wrong) {
        expect(errorOf(() => c.sendAll(value as never))).toContain(text);
        expect(errorOf(() => c.recvInto(value as never))).toContain(text);
      }
      // No channel carries locks: their bytes would not fit where elements land.
      const conds = h.make<Type>(cond, 2);
      for (const values of [types.makeSlice<Type>(cond, 1), types.makeSlice<Type>(cond, 0)]) {
        const text = "sync.Cond can't be assigned: use it where it lies";
        expect(errorOf(() => conds.sendAll(values))).toContain(text);
        expect(errorOf(() => conds.recvInto(values))).toContain(text);
      }
      expect(conds.length).toBe(0);
      let error = "no error";
      try {
        yield* c.recvInto(ints());
      } catch (e) {
        error = String(e);
      }
      expect(error).toContain("threads: recvInto needs room for a value");
      c.release();
      expect(errorOf(() => c.sendAll(ints(1)))).toContain("use of a released channel");
      expect(errorOf(() => c.recvInto(ints(1)))).toContain("use of a released channel");
    });
  });

  it("can be awaited by host code", async () => {
    const s = createScheduler();
    const threads = mode === "shared" ? { m: 0, post: () => {} } : null;
    const c = new HeapChans(types, s, new Waiters(heap.mem, threads)).make(int, 2);
    const sent = c.sendAll(ints(1, 2, 3)).then(() => c.close());
    const dst = ints(0, 0);
    const got: number[] = [];
    for (let n = await c.recvInto(dst); n > 0; n = await c.recvInto(dst)) got.push(...[...dst].slice(0, n));
    await sent;
    expect(got).toEqual([1, 2, 3]);
    s.close();
  });
});

describe("batches and single values of goroutines on several Ms", () => {
  const op = fc.record({ batch: fc.boolean(), size: fc.integer({ min: 1, max: 6 }) });
  const side = fc.array(fc.array(op, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 4 });

  it("arrive once, and those of one sender in their order", { timeout: 60_000 }, () => {
    fc.assert(
      fc.property(
        fc.record({
          ms: fc.integer({ min: 1, max: 3 }),
          capacity: fc.integer({ min: 0, max: 5 }),
          senders: side,
          receivers: side,
        }),
        fc.boolean(),
        ({ ms, capacity, senders, receivers }, texts) => {
          const world = new Machines(ms, 1);
          const type: Type = texts ? string : int;
          const value = (n: number): never => (texts ? `${n}` : n) as never;
          const chans = world.chans[0].make(type, capacity);
          const addr = chans.$addr;
          const got: number[][] = receivers.map(() => []);
          let sending = senders.length;
          let total = 0;
          for (const [k, ops] of senders.entries()) {
            const m = k % ms;
            const c = world.chans[m].at(addr, type);
            world.schedulers[m].go(function* () {
              let n = 100 * k;
              for (const { batch, size } of ops) {
                total += size;
                if (batch) {
                  const s: Slice<Type> = types.makeSlice(type, size);
                  for (let i = 0; i < size; i++) s.set(i, value(n++));
                  yield* c.sendAll(s);
                } else {
                  for (let i = 0; i < size; i++) yield* c.send(value(n++));
                }
              }
              if (--sending === 0) c.close();
            });
          }
          for (const [k, ops] of receivers.entries()) {
            const m = (k + 1) % ms;
            const c = world.chans[m].at(addr, type);
            world.schedulers[m].go(function* () {
              for (let i = 0; ; i++) {
                const { batch, size } = ops[i % ops.length];
                if (batch) {
                  const s: Slice<Type> = types.makeSlice(type, size);
                  const n = yield* c.recvInto(s);
                  if (n === 0) return;
                  got[k].push(...plain(s, n).map(Number));
                } else {
                  const r = yield* c.recv2();
                  if (!r.ok) return;
                  got[k].push(Number(r.value));
                }
              }
            });
          }
          world.run();
          verifyChan(heap.mem, addr);
          expect(got.flat()).toHaveLength(total);
          expect(new Set(got.flat()).size).toBe(total);
          for (const list of got) {
            for (const k of senders.keys()) {
              const own = list.filter((n) => Math.floor(n / 100) === k);
              expect(own).toEqual(own.toSorted((a, b) => a - b));
            }
          }
          world.end();
        },
      ),
      { numRuns: 400 },
    );
  });
});
