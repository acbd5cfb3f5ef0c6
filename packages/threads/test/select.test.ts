import { type Chan, defaultCase, recvCase, type SelectCase, sendCase } from "@gort/scheduler";
import { createTestScheduler } from "@gort/scheduler/testing";
import { createBumpHeap, createTypes, int, pointer, string, struct } from "@gort/types";
import { describe, expect, it } from "vitest";
import { HeapChans } from "../src/chans.ts";
import { Waiters } from "../src/sudog.ts";
import { verifyChan } from "../src/testing.ts";
import { addrOf, heap, modes, run, TestChans, types } from "./kit.ts";
import { Machines } from "./machines.ts";

const Point = struct("Point", { x: int, y: int });

describe.each(modes)("select with %s channels of the heap", (mode) => {
  it("chooses each ready case about equally often, local ones too", () => {
    run(mode, function* (s, h) {
      const n = 3000;
      const chans: Chan<number>[] = [h.make(int, 1), s.makeChan<number>(1), h.make(int, 1)];
      const wins = [0, 0, 0, 0];
      const idle = h.make(int);
      for (const c of chans) c.trySend(0);
      const cases = [...chans.map((c) => recvCase(c)), recvCase(idle)];
      for (let i = 0; i < n; i++) {
        const { index } = yield* s.select(cases);
        wins[index]++;
        chans[index].trySend(0);
      }
      // Within 5 standard deviations of a third.
      for (const x of wins.slice(0, 3)) expect(Math.abs(x - n / 3)).toBeLessThan(130);
      expect(wins[3]).toBe(0);
    });
  });

  it("chooses each of two cases on one channel about equally often when it waits", () => {
    run(mode, function* (s, h) {
      const n = 2000;
      const wins = [0, 0, 0];
      const c = h.make(int);
      s.go(function* () {
        for (let i = 0; i < n; i++) {
          yield* s.gosched();
          yield* c.send(i);
        }
      });
      for (let i = 0; i < n; i++) {
        const r = yield* s.select([recvCase(c), recvCase(s.makeChan<number>()), recvCase(c)]);
        expect(r.value).toBe(i);
        wins[r.index]++;
      }
      for (const i of [0, 2]) expect(Math.abs(wins[i] - n / 2)).toBeLessThan(112);
      expect(wins[1]).toBe(0);
    });
  });

  it.each([1, 2])("touches no channel of an earlier wait if memory is full after %i of 3 places", (nth) => {
    run(mode, function* (s, h) {
      const before = h.make(int);
      s.go(() => before.send(1));
      yield* before.recv();
      const chans = [h.make(Point), h.make(Point)];
      // What an object would have there that got the channel's memory.
      const lock = addrOf(before) >>> 2;
      heap.mem.u32[lock] = 12345;
      const { malloc } = heap;
      let left = nth;
      heap.malloc = (size, typ) => {
        if (left-- === 0) throw new RangeError("full");
        return malloc.call(heap, size, typ);
      };
      let error: unknown;
      try {
        yield* s.select(chans.map((c) => recvCase(c)));
      } catch (e) {
        error = e;
      } finally {
        heap.malloc = malloc;
        heap.mem.u32[lock] = 0;
      }
      expect(String(error)).toBe("RangeError: full");
      // No case waits.
      expect(chans.map((c) => c.trySend({ x: 1, y: 2 }))).toEqual([false, false]);
    });
  });

  it("gives no value if it waits until a channel is closed", () => {
    run(mode, function* (s, h) {
      const c = h.make(int);
      s.go(() => c.close());
      const r = yield* s.select([recvCase(c), recvCase(s.makeChan<number>())]);
      expect(r).toEqual({ index: 0, value: undefined, ok: false });
    });
  });

  it("takes default only if no case can proceed", () => {
    run(mode, function* (s, h) {
      const full = h.make(int, 1);
      full.trySend(1);
      const empty = h.make(string);
      const local = s.makeChan<number>();
      const cases = [
        sendCase(full, 2),
        recvCase(empty),
        recvCase(local),
        defaultCase,
        recvCase(null),
      ] as const;
      expect(yield* s.select(cases)).toEqual({ index: 3, value: undefined, ok: false });
      s.go(function* () {
        yield* empty.send("x");
      });
      yield* s.gosched();
      expect(yield* s.select(cases)).toEqual({ index: 1, value: "x", ok: true });
      full.tryRecv();
      expect(yield* s.select(cases)).toEqual({ index: 0, value: undefined, ok: false });
      empty.close();
      expect(yield* s.select(cases)).toEqual({ index: 1, value: undefined, ok: false });
    });
  });

  it("panics in a send to a closed channel, at once and after a wait, and leaves all queues", () => {
    run(mode, function* (s, h) {
      const [a, b] = [h.make(int), h.make(pointer(Point))];
      const local = s.makeChan<number>();
      const ends: string[] = [];
      const go = () =>
        s.go(function* () {
          try {
            yield* s.select([recvCase(local), sendCase(a, 1), sendCase(b, types.newObject(Point))]);
          } catch (e) {
            ends.push(String(e));
          }
        });
      go();
      yield* s.gosched();
      b.close();
      yield* s.gosched();
      go();
      yield* s.gosched();
      expect(ends).toEqual(Array.from({ length: 2 }, () => "PlainError: send on closed channel"));
      expect([a.tryRecv().received, local.tryRecv().received]).toEqual([false, false]);
    });
  });

  it("carries structs, strings and pointers of the case that wins, and drops the others", () => {
    run(mode, function* (s, h) {
      const p = h.make(Point);
      const t = h.make(string);
      const got: unknown[] = [];
      const before = heap.liveRefs;
      for (let i = 0; i < 4; i++) {
        s.go(function* () {
          yield* s.select([sendCase(p, { x: i }), sendCase(t, `${i}`)]);
        });
        yield* s.gosched();
        if (i % 2 === 0) {
          const point = (yield* p.recv())!;
          got.push(point.x, point.y);
          point.release();
        } else got.push(yield* t.recv());
        s.go(function* () {
          const r = yield* s.select([recvCase(p), recvCase(t)]);
          if (r.index === 0) {
            got.push(r.value?.x);
            r.value?.release();
          } else got.push(r.value);
        });
        yield* s.gosched();
        if (i % 2 === 0) yield* p.send({ x: 10 + i, y: 1 });
        else yield* t.send(`1${i}`);
        yield* s.sleep(1);
      }
      expect(got).toEqual([0, 0, 10, "1", "11", 2, 0, 12, "3", "13"]);
      // Places for waiting elements may be kept, one for each type and kind of case.
      expect(heap.liveRefs - before).toBeLessThan(8);
    });
  });

  it("reads each value once, before it looks at a channel", () => {
    run(mode, function* (s, h) {
      const p = h.make(Point, 1);
      const n = h.make(int, 1);
      const cases: SelectCase[] = [];
      let reads = 0;
      const value = {
        get x() {
          reads++;
          // The code of a value changes the list, the values of other cases, and the channels; and selects itself.
          n.trySend(5);
          cases.length = 1;
          (cases[1] as SelectCase | undefined) = defaultCase;
          expect(nested(s.select([recvCase(n)]))).toMatchObject({ done: true });
          n.trySend(6);
          return 1;
        },
        y: 2,
      };
      cases.push(sendCase(p, value), recvCase(n));
      const r = yield* s.select(cases);
      expect(reads).toBe(1);
      if (r.index === 1) expect(r.value).toBe(6);
      else expect((yield* p.recv())!.y).toBe(2);
    });
  });

  it("refuses a value of another type, and leaves the other cases alone", () => {
    run(mode, function* (s, h) {
      const [a, b] = [h.make(int, 1), h.make(string, 1)];
      for (const cases of [
        [sendCase(b, "x"), sendCase(a, 0.5)],
        [sendCase(b, "x"), 7 as never],
        [sendCase(b, "x"), defaultCase, defaultCase],
      ]) {
        let error = "";
        try {
          yield* s.select(cases);
        } catch (e) {
          error = String(e);
        }
        expect(error).toMatch(/^(Type|Range)Error: (types: int must be|scheduler: select: )/);
      }
      expect([a.length, b.length]).toEqual([0, 0]);
    });
  });

  it("refuses a channel that was released, and channels of two heaps", () => {
    run(mode, function* (s, h) {
      const c = h.make(int, 1);
      const other = new HeapChans(createTypes(createBumpHeap()), s, new Waiters(heap.mem, null)).make(int, 1);
      const errors: string[] = [];
      const attempt = function* (cases: SelectCase<number>[]) {
        try {
          yield* s.select(cases);
        } catch (e) {
          errors.push(String(e));
        }
      };
      yield* attempt([recvCase(c), recvCase(other)]);
      c.release();
      yield* attempt([recvCase(c)]);
      yield* attempt([sendCase(c, 1)]);
      expect(errors).toEqual([
        "TypeError: scheduler: select: case 1 has a channel of another heap than the cases before it",
        "TypeError: threads: use of a released channel",
        "TypeError: threads: use of a released channel",
      ]);
    });
  });

  it("keeps its channels until it has left their queues, if they are released after a partner has come", () => {
    run(mode, function* (s, h) {
      for (const ends of ["runs", "is given up"]) {
        const a = h.make(int);
        const b = h.make(int);
        const stop = new AbortController();
        let got: unknown;
        s.go(function* () {
          try {
            got = yield* s.select([recvCase(a), recvCase(b)]).withSignal(stop.signal);
          } catch (e) {
            got = e;
          }
        });
        yield* s.gosched();
        const before = heap.liveRefs;
        if (ends === "runs") expect(a.trySend(1)).toBe(true);
        a.release();
        b.release();
        // Another object may get the memory of a record without a root, and the select takes the records' locks.
        expect(heap.liveRefs).toBe(before);
        if (ends === "is given up") stop.abort("given up");
        yield* s.gosched();
        expect(got).toEqual(ends === "runs" ? { index: 0, value: 1, ok: true } : "given up");
        const idle = h.make(int);
        const roots = heap.liveRefs;
        idle.release();
        expect(heap.liveRefs).toBe(roots - 1);
      }
    });
  });

  it("refuses a channel that code of a later case's value releases", () => {
    run(mode, function* (s, h) {
      const [a, b] = [h.make(int, 1), h.make(Point, 1)];
      const evil = {
        get x() {
          a.release();
          return 1;
        },
      };
      let message = "";
      try {
        yield* s.select([sendCase(a, 1), sendCase(b, evil as never), defaultCase]);
      } catch (err) {
        message = String(err);
      }
      expect(message).toBe("TypeError: threads: use of a released channel");
      expect(b.length).toBe(0);
    });
  });

  it("is given up when its signal is aborted", () => {
    run(mode, function* (s, h) {
      const [a, b] = [h.make(int), h.make(string)];
      const local = s.makeChan<number>();
      const ends: unknown[] = [];
      for (const i of [0, 1, 2, 3]) {
        const stop = new AbortController();
        s.go(function* () {
          try {
            ends.push(
              (yield* s.select([recvCase(a), recvCase(local), sendCase(b, "v")]).withSignal(stop.signal))
                .index,
            );
          } catch (e) {
            ends.push(e);
          }
        });
        yield* s.gosched();
        // A partner comes first, except in the last round. Then the abort is too late.
        if (i === 0) a.trySend(1);
        if (i === 1) local.trySend(1);
        if (i === 2) b.tryRecv();
        stop.abort("stop");
        yield* s.gosched();
      }
      expect(ends).toEqual([0, 1, 2, "stop"]);
      expect([a.trySend(1), local.trySend(1), b.tryRecv().received]).toEqual([false, false, false]);
    });
  });

  it("works for timers beside channels of the heap", () => {
    run(mode, function* (s, h) {
      const c = h.make(int);
      const r = yield* s.select([recvCase(c), recvCase(s.after(5))]);
      expect(r.index).toBe(1);
      const t = s.newTicker(1);
      yield* s.sleep(3);
      expect((yield* s.select([recvCase(c), recvCase(t.C), defaultCase])).index).toBe(1);
      t.stop();
    });
  });
});

/** Starts an op by hand, as the code of a value can. */
function nested(op: unknown): unknown {
  return (op as { next(): unknown }).next();
}

describe("select in which other threads take part", () => {
  /** Two Ms with handles of one channel each, and a local channel of M 0. */
  function setUp() {
    const ms = new Machines(2, 1);
    const [s0, s1] = ms.schedulers;
    const a = [ms.chans[0].make(int)];
    const b = [ms.chans[0].make(int)];
    a.push(ms.chans[1].at(a[0].$addr, int));
    b.push(ms.chans[1].at(b[0].$addr, int));
    const end = () => {
      for (const c of [a[0], b[0]]) verifyChan(heap.mem, addrOf(c));
      ms.end();
    };
    return { ms, s0, s1, a, b, local: s0.makeChan<number>(), end };
  }

  it("wins one case only: a partner in a local channel finds the goroutine taken", () => {
    const { ms, s0, a, local, end } = setUp();
    const got: unknown[] = [];
    s0.go(function* () {
      got.push(yield* s0.select([recvCase(a[0]), recvCase(local)]));
    });
    s0.run();
    expect(a[1].trySend(4)).toBe(true);
    // The wake-up is on its way to M 0.
    expect(ms.inboxes[0]).toHaveLength(1);
    expect(local.trySend(5)).toBe(false);
    expect(got).toEqual([]);
    ms.run();
    expect(got).toEqual([{ index: 0, value: 4, ok: true }]);
    end();
  });

  it("wins one case only: a partner in a shared channel finds the goroutine taken", () => {
    const { ms, s0, a, local, end } = setUp();
    const got: unknown[] = [];
    s0.go(function* () {
      got.push(yield* s0.select([recvCase(a[0]), recvCase(local)]));
    });
    s0.run();
    expect(local.trySend(5)).toBe(true);
    expect(a[1].trySend(4)).toBe(false);
    ms.run();
    expect(got).toEqual([{ index: 1, value: 5, ok: true }]);
    end();
  });

  it("is not part of the next select if it fails while it takes its wait back", () => {
    const s = createTestScheduler();
    const h = new TestChans(s, "shared");
    const [a, b] = [h.make(Point), h.make(Point)];
    const lock = addrOf(a) >>> 2;
    const { malloc } = heap;
    let left = 2;
    heap.malloc = (size, typ) => {
      if (left-- > 0) return malloc.call(heap, size, typ);
      // A thread that has ended holds the lock.
      heap.mem.u32[lock] = 12345;
      throw new RangeError("full");
    };
    try {
      expect(() => s.runMain(() => s.select([recvCase(a), recvCase(b)]))).toThrow("memory: lock at");
    } finally {
      heap.malloc = malloc;
      heap.mem.u32[lock] = 0;
    }
    run("shared", function* (next, chans) {
      const c = chans.make(int, 1);
      c.trySend(7);
      expect(yield* next.select([recvCase(c)])).toEqual({ index: 0, value: 7, ok: true });
    });
  });

  it("starts again if the partner in a local channel was taken by another thread", () => {
    const { ms, s0, a, b, local, end } = setUp();
    const got: unknown[] = [];
    s0.go(function* () {
      got.push(yield* s0.select([sendCase(local, 1), recvCase(a[0])]));
    });
    s0.run();
    a[1].trySend(4);
    // The local channel still has the sudog of a sender, which cannot be chosen any more.
    s0.go(function* () {
      got.push(yield* s0.select([recvCase(b[0]), recvCase(local)]));
    });
    s0.run();
    expect(got).toEqual([]);
    expect(b[1].trySend(6)).toBe(true);
    ms.run();
    expect(got).toContainEqual({ index: 1, value: 4, ok: true });
    expect(got).toContainEqual({ index: 0, value: 6, ok: true });
    end();
  });

  it("looks again at all channels after it has allocated what its wait needs", () => {
    for (const action of ["send", "close", "wait"]) {
      const { ms, s0, a, b, end } = setUp();
      const got: unknown[] = [];
      const chans = ms.chans[0];
      const { beginSelect } = chans;
      let begun = 0;
      chans.beginSelect = (g, list) => {
        begun++;
        // Another thread: no lock is held.
        if (action === "send") expect(b[1].trySend(7)).toBe(false);
        if (action === "close") b[1].close();
        if (action === "wait") ms.schedulers[1].go(() => b[1].send(8) as never);
        ms.schedulers[1].run();
        return beginSelect.call(chans, g, list);
      };
      s0.go(function* () {
        got.push(yield* s0.select([recvCase(a[0]), recvCase(b[0])]));
      });
      ms.run();
      expect(begun).toBe(1);
      const want = { send: undefined, close: { index: 1, value: undefined, ok: false } }[action];
      expect(got).toEqual(
        action === "wait" ? [{ index: 1, value: 8, ok: true }] : want === undefined ? [] : [want],
      );
      end();
    }
  });

  it.each([false, true])("receives a struct then, its wait leaving no place (sends: %s)", (sends) => {
    const m = new Machines(2, 1);
    const [s] = m.schedulers;
    const [own, theirs] = m.chans;
    const a = own.make(Point, 1);
    const b = own.make(Point, 1);
    const far = theirs.at(a.$addr, Point);
    void b.$addr;
    if (sends) b.trySend({ x: 1, y: 2 });
    const { addCase } = own;
    let left = 2;
    own.addCase = (...args) => {
      addCase.apply(own, args);
      if (--left === 0) expect(far.trySend({ x: 3, y: 4 })).toBe(true);
    };
    let got: unknown;
    s.go(function* () {
      const { index, value } = yield* s.select([
        recvCase(a),
        sends ? sendCase(b, { x: 5, y: 6 }) : recvCase(b),
      ]);
      const { $addr, x, y } = value as { $addr: number; x: number; y: number };
      got = [index, $addr > 0, x, y];
    });
    m.run();
    expect(got).toEqual([0, true, 3, 4]);
    expect(far.length).toBe(0);
    m.end();
  });

  it("gives up no wait that another thread has ended", () => {
    const { ms, s0, a, b, end } = setUp();
    const got: unknown[] = [];
    const stop = new AbortController();
    s0.go(function* () {
      try {
        got.push(yield* s0.select([recvCase(a[0]), recvCase(b[0])]).withSignal(stop.signal));
      } catch (e) {
        got.push(e);
      }
    });
    s0.run();
    a[1].trySend(3);
    stop.abort("too late");
    ms.run();
    expect(got).toEqual([{ index: 0, value: 3, ok: true }]);
    end();
  });

  it("frees a wait whose goroutine has ended before the wake-up arrives", () => {
    const ms = new Machines(2, 1);
    const [s0] = ms.schedulers;
    const c = ms.chans[0].make(Point);
    const d = ms.chans[1].at(c.$addr, Point);
    const refs = heap.liveRefs;
    s0.startMain(
      function* () {
        s0.go(function* () {
          yield* s0.select([recvCase(c), recvCase(s0.makeChan())]);
        });
        s0.go(() => c.recv() as never);
        yield* s0.gosched();
        expect(d.trySend({ x: 1 })).toBe(true);
        expect(d.trySend({ x: 2 })).toBe(true);
      },
      () => {},
      (e) => {
        throw e;
      },
    );
    s0.run();
    expect(ms.inboxes[0]).toHaveLength(2);
    expect(d.trySend({ x: 3 })).toBe(false);
    ms.run();
    // Each M may keep places for waiting elements.
    expect(heap.liveRefs - refs).toBeLessThan(4);
    ms.end();
  });
});
