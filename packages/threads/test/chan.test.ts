import { createScheduler, isRuntimeError, recvCase, type Scheduler } from "@gort/scheduler";
import { type G, gStack } from "@gort/scheduler/internal";
import { createTestScheduler } from "@gort/scheduler/testing";
import {
  array,
  bool,
  bytes,
  complex128,
  float32,
  float64,
  int,
  int8,
  int16,
  int32,
  int64,
  pointer,
  slice,
  string,
  struct,
  type Type,
  uint8,
  uint64,
  uintptr,
} from "@gort/types";
import { describe, expect, it } from "vitest";
import { HeapChans } from "../src/chans.ts";
import { HCHAN, HCHAN_AT } from "../src/hchan.ts";
import { Waiters } from "../src/sudog.ts";
import { addrOf, heap, modes, run, TestChans, types } from "./kit.ts";

const Point = struct("Point", { x: int, y: float64 });
const Node = struct("Node", {
  name: string,
  get next() {
    return pointer(Node);
  },
});

/** Values of each kind of element: as a program sends them, and as plain values to compare the received ones with. */
const kinds: readonly [string, Type, readonly unknown[], readonly unknown[]][] = [
  ["bool", bool, [true, false], [true, false]],
  ["int8", int8, [-128, 127, 0], [-128, 127, 0]],
  ["int16", int16, [-32768, 5], [-32768, 5]],
  ["int32", int32, [-(2 ** 31), 1], [-(2 ** 31), 1]],
  ["uint8", uint8, [255, 0, 7], [255, 0, 7]],
  ["int", int, [-1, 2 ** 53 - 1, -(2 ** 40)], [-1, 2 ** 53 - 1, -(2 ** 40)]],
  ["int64", int64, [-1n, 2n ** 62n], [-1n, 2n ** 62n]],
  ["uint64", uint64, [2n ** 64n - 1n], [2n ** 64n - 1n]],
  ["uintptr", uintptr, [2 ** 32], [2 ** 32]],
  ["float32", float32, [0.5, Number.NaN], [0.5, Number.NaN]],
  ["float64", float64, [Math.PI, -0], [Math.PI, -0]],
  ["complex128", complex128, [{ re: 1, im: 2 }], [{ re: 1, im: 2 }]],
  ["string", string, ["", "a", "grüße"], ["", "a", "grüße"]],
  ["bytes", bytes, [new Uint8Array([1, 2, 3])], [[1, 2, 3]]],
  [
    "struct",
    Point,
    [{ x: 1, y: 2 }, { x: 3 }],
    [
      { x: 1, y: 2 },
      { x: 3, y: 0 },
    ],
  ],
  [
    "struct with pointers",
    Node,
    [{ name: "n", next: null }, {}],
    [
      { name: "n", next: null },
      { name: "", next: null },
    ],
  ],
  [
    "array",
    array(int16, 3),
    [[1, 2, 3], [4]],
    [
      [1, 2, 3],
      [4, 0, 0],
    ],
  ],
  ["empty struct", struct("Empty", {}), [{}, {}], [{}, {}]],
  ["slice", slice(int), [[1, 2], null], [[1, 2], null]],
];

/** A received value as JSON has it, numbers apart. */
function plain(v: unknown): unknown {
  if (v instanceof Uint8Array) return [...v];
  return typeof v === "object" && v !== null && "toJSON" in v ? JSON.parse(JSON.stringify(v)) : v;
}

describe.each(modes)("a %s channel in the heap", (mode) => {
  it.each(kinds)(
    "carries elements of type %s, through the ring and from hand to hand",
    (_name, type, sent, got) => {
      for (const size of [0, 1, 3]) {
        run(mode, function* (s, h) {
          const c = h.make(type, size);
          // First the receiver waits, then the sender.
          for (const receiverFirst of [true, false]) {
            const received: unknown[] = [];
            const receive = function* () {
              for (let i = 0; i < sent.length; i++) received.push(plain(yield* c.recv()));
            };
            const send = function* () {
              for (const v of sent) yield* c.send(v);
            };
            const first = s.go(receiverFirst ? receive : send);
            yield* s.gosched();
            const second = s.go(receiverFirst ? send : receive);
            yield* first.done();
            yield* second.done();
            expect(received).toEqual(got);
          }
        });
      }
    },
  );

  it("gives the receiver of a struct a copy that nothing else refers to", () => {
    run(mode, function* (s, h) {
      for (const size of [0, 1]) {
        const c = h.make(Node, size);
        const sent = types.newObject(Node, { name: "sent" });
        s.go(function* () {
          yield* c.send(sent);
          sent.name = "changed";
          yield* c.send(sent);
        });
        yield* s.gosched();
        const first = (yield* c.recv())!;
        const second = (yield* c.recv())!;
        expect(first.name).toBe("sent");
        expect(second.name).toBe("changed");
        first.name = "own";
        expect([sent.name, second.name]).toEqual(["changed", "changed"]);
        expect(first.$addr).not.toBe(second.$addr);
      }
    });
  });

  it("passes pointers and slices on without a copy", () => {
    run(mode, function* (s, h) {
      const p = h.make(pointer(Node));
      const q = h.make(slice(int), 1);
      const node = types.newObject(Node, { name: "n" });
      const list = types.sliceOf(int, [1, 2, 3]);
      s.go(function* () {
        yield* p.send(node);
        yield* p.send(null);
      });
      expect((yield* p.recv())!.$addr).toBe(node.$addr);
      expect(yield* p.recv()).toBe(null);
      yield* q.send(list);
      const got = (yield* q.recv())!;
      got.set(0, 7);
      expect(list.get(0)).toBe(7);
    });
  });

  it("tries without waiting", () => {
    run(mode, function* (s, h) {
      const c = h.make(int, 1);
      const u = h.make(int);
      expect(c.tryRecv()).toEqual({ value: undefined, ok: false, received: false });
      expect([c.trySend(1), c.trySend(2), c.length, c.capacity]).toEqual([true, false, 1, 1]);
      expect(c.tryRecv()).toEqual({ value: 1, ok: true, received: true });
      expect(u.trySend(1)).toBe(false);
      s.go(function* () {
        yield* u.send(8);
      });
      yield* s.gosched();
      expect(u.tryRecv()).toEqual({ value: 8, ok: true, received: true });
      c.close();
      expect(c.tryRecv()).toEqual({ value: undefined, ok: false, received: true });
      expect(() => c.trySend(1)).toThrow("send on closed channel");
    });
  });

  it("gives its values to forEach and to async iteration until it is closed and drained", async () => {
    run(mode, function* (s, h) {
      const c = h.make(int, 2);
      const seen: number[] = [];
      s.go(function* () {
        for (let i = 0; i < 5; i++) yield* c.send(i);
        c.close();
      });
      yield* c.forEach((v) => void seen.push(v));
      expect(seen).toEqual([0, 1, 2, 3, 4]);
      const d = h.make(string);
      const body = d.forEach(function* (v) {
        yield* s.gosched();
        seen.push(v.length);
      });
      s.go(function* () {
        yield* d.send("abc");
        d.close();
      });
      yield* body;
      expect(seen.at(-1)).toBe(3);
      yield* c.forEach(() => void seen.push(-1));
      expect(seen.at(-1)).toBe(3);
    });
    const s = createScheduler();
    const c = new HeapChans(types, s, new Waiters(heap.mem, null)).make(int);
    s.go(function* () {
      yield* c.send(1);
      yield* c.send(2);
      c.close();
    });
    const seen: number[] = [];
    for await (const v of c) seen.push(v);
    expect(seen).toEqual([1, 2]);
  });

  it("refuses a value of another type before it changes anything", () => {
    run(mode, function* (s, h) {
      const c = h.make(int8, 1);
      expect(() => c.trySend(300)).toThrow("types: int8 must be a whole number from -128 to 127 (got 300)");
      let error: unknown;
      s.go(function* () {
        try {
          yield* c.send("x" as never);
        } catch (e) {
          error = e;
        }
      });
      yield* s.gosched();
      expect(String(error)).toContain('(got "x")');
      expect(c.length).toBe(0);
    });
  });

  it("runs the code of a value before the operation, so that this code can use the channel", () => {
    run(mode, function* (s, h) {
      const c = h.make(Point, 2);
      const values = {
        get x() {
          c.trySend({ x: 1, y: 0 });
          return 2;
        },
        get y(): number {
          throw new Error("no y");
        },
      };
      expect(() => c.trySend(values)).toThrow("no y");
      expect(c.length).toBe(1);
      expect((yield* c.recv())!.x).toBe(1);
      // The getter fills the channel, so the send that it belongs to waits.
      const filling = {
        get x() {
          c.trySend({ x: 1 });
          c.trySend({ x: 2 });
          return 3;
        },
      };
      s.go(function* () {
        yield* c.send(filling);
      });
      yield* s.gosched();
      expect(c.length).toBe(2);
      const got: number[] = [];
      for (let i = 0; i < 3; i++) got.push((yield* c.recv())!.x);
      expect(got).toEqual([1, 2, 3]);
    });
  });

  it("wakes the sender, also if the type's declaration uses another channel when the value is read", () => {
    for (const selects of [false, true]) {
      run("private", function* (s, h) {
        const other = h.make(int, 1);
        const Numbers = slice(() => {
          other.trySend(5);
          return int;
        });
        const c = h.make(Numbers);
        const log: unknown[] = [];
        s.go(function* () {
          // No code of the type runs here: the slice is nil.
          yield* c.sendAll(types.makeSlice(Numbers, 1));
          log.push("sent");
        });
        s.go(function* () {
          log.push(yield* other.recv());
        });
        yield* s.gosched();
        expect(log).toEqual([]);
        if (selects) yield* s.select([recvCase(c)]);
        else yield* c.recv();
        yield* s.sleep(1);
        expect(new Set(log)).toEqual(new Set([5, "sent"]));
      });
    }
  });

  it("keeps the panics of Go", () => {
    run(mode, function* (s, h) {
      const c = h.make(int);
      const texts: string[] = [];
      s.go(function* () {
        try {
          yield* c.send(1);
        } catch (e) {
          if (isRuntimeError(e)) texts.push(e.message);
        }
      });
      yield* s.gosched();
      c.close();
      yield* s.gosched();
      expect(texts).toEqual(["send on closed channel"]);
      expect(() => c.close()).toThrow("close of closed channel");
      expect(() => h.make(int, -1)).toThrow("makechan: size out of range");
      expect(() => h.make(int, 2 ** 40)).toThrow("makechan: size out of range");
      expect(() => h.make(int, 1.5)).toThrow("threads: channel capacity must be an integer (got 1.5)");
      expect(() => h.make(array(uint8, 65536))).toThrow("channel element type too large");
      expect(() => h.make("int" as never)).toThrow('threads: makeChan needs a type (got "int")');
      expect(h.make(struct("E", {}), 2 ** 31).capacity).toBe(2 ** 31);
    });
  });

  it("gives up a wait whose signal is aborted, and keeps the value for the next receiver", () => {
    run(mode, function* (s, h) {
      const c = h.make(string);
      const ends: string[] = [];
      const wait = (name: string, signal: AbortSignal) =>
        s.go(function* () {
          try {
            ends.push(`${name} ${yield* c.recv().withSignal(signal)}`);
          } catch (e) {
            ends.push(`${name} ${String(e)}`);
          }
        });
      const first = new AbortController();
      const second = new AbortController();
      wait("first", first.signal);
      yield* s.gosched();
      wait("second", second.signal);
      yield* s.gosched();
      first.abort("stop");
      yield* c.send("a");
      yield* s.gosched();
      // The receiver was readied before the abort.
      second.abort("late");
      yield* s.gosched();
      expect(ends).toEqual(["second a", "first stop"]);
      const send = new AbortController();
      s.go(function* () {
        try {
          yield* c.send("lost").withSignal(send.signal);
        } catch (e) {
          ends.push(String(e));
        }
      });
      yield* s.gosched();
      send.abort("no send");
      yield* s.gosched();
      expect(ends.at(-1)).toBe("no send");
      expect(c.tryRecv().received).toBe(false);
    });
  });

  it("takes the waiters of an ended program out of its queues", () => {
    const s = createTestScheduler();
    const h = new TestChans(s, mode);
    const c = h.make(string);
    const full = h.make(Node, 1);
    s.runMain(function* () {
      for (let i = 0; i < 3; i++) s.go(() => c.recv() as never);
      for (let i = 0; i < 3; i++) {
        s.go(function* () {
          yield* full.send({ name: `${i}` });
        });
      }
      yield* s.gosched();
    });
    h.verify();
    s.runMain(function* () {
      expect(c.trySend("x")).toBe(false);
      expect((yield* full.recv())!.name).toBe("2");
      expect(full.tryRecv().received).toBe(false);
    });
    h.verify();
  });

  it("shows where its waiters wait", () => {
    run(mode, function* (s, h) {
      const c = h.make(int);
      let g: G | null = null;
      s.go(function* waiter() {
        g = s.getg();
        yield* c.recv();
      });
      yield* s.gosched();
      expect(gStack(g!).map((f) => f.func)).toContain("main.waiter");
      yield* c.send(1);
    });
  });

  it("refuses a goroutine that calls next() by hand, and forgets its wait", () => {
    run(mode, function* (s, h) {
      const c = h.make(int);
      let text = "";
      s.go(function* () {
        try {
          (c.recv() as unknown as { next(): void }).next();
          yield* s.gosched();
        } catch (e) {
          text = String(e);
        }
      });
      yield* s.gosched();
      expect(text).toContain("next() of a chan receive op was called by hand");
      expect(c.trySend(1)).toBe(false);
    });
  });

  it("is unusable after release, except for goroutines that wait in it", () => {
    run(mode, function* (s, h) {
      const c = h.make(int);
      const d = h.chans.at(c.$addr, int);
      let got: number | undefined;
      s.go(function* () {
        got = yield* c.recv();
      });
      yield* s.gosched();
      const before = heap.liveRefs;
      c.release();
      expect(heap.liveRefs).toBe(before);
      expect(() => c.trySend(1)).toThrow("threads: use of a released channel");
      expect(() => c.tryRecv()).toThrow("threads: use of a released channel");
      expect(() => c.close()).toThrow("threads: use of a released channel");
      expect([String(c), c.length]).toEqual(["chan int (released)", 0]);
      expect(d.trySend(5)).toBe(true);
      yield* s.gosched();
      expect(got).toBe(5);
      d.release();
      expect(heap.liveRefs).toBe(before - 1);
      d.release();
    });
  });

  it("is found by its address and type", () => {
    run(mode, function* (_s, h) {
      const c = h.make(pointer(Node), 1);
      const d = h.chans.at(c.$addr, pointer(Node));
      yield* c.send(types.newObject(Node, { name: "x" }));
      expect((yield* d.recv())!.name).toBe("x");
      expect(d.$type).toEqual(c.$type);
      expect(() => h.chans.at(c.$addr, int)).toThrow(
        "threads: the channel's elements have another type (got int)",
      );
    });
  });

  it("prints as a channel", () => {
    run(mode, function* (_s, h) {
      const c = h.make(int, 3);
      yield* c.send(1);
      expect(String(c)).toBe("chan int(len 1, cap 3)");
      c.close();
      expect(JSON.stringify(c)).toBe('{"len":1,"cap":3,"closed":true}');
    });
  });

  it("serves host code that awaits it", async () => {
    const s: Scheduler = createScheduler();
    const c = new HeapChans(types, s, new Waiters(heap.mem, null)).make(string);
    const value = c.recv2().then((r) => r);
    await c.send("from the host");
    expect(await value).toEqual({ value: "from the host", ok: true });
  });
});

describe("the records of waiting goroutines", () => {
  it("are used again, and so are the places of their elements", () => {
    run("private", function* (s, h) {
      const c = h.make(Node);
      const go = () =>
        s.go(function* () {
          yield* c.send({ name: "x", next: null });
        });
      const used = () => [types.heap.mem.stats.otherSys, heap.liveRefs, addrOf(c)];
      for (let i = 0; i < 100; i++) go();
      yield* s.sleep(1);
      const first = used();
      for (let i = 0; i < 100; i++) (yield* c.recv())!.release();
      yield* s.sleep(1);
      // 64 places are kept for the next waiters.
      expect(heap.liveRefs).toBe(first[1] - 100 + 64);
      for (let i = 0; i < 64; i++) go();
      yield* s.sleep(1);
      expect(used()).toEqual([first[0], first[1] - 100 + 64, first[2]]);
      for (let i = 0; i < 64; i++) (yield* c.recv())!.release();
    });
  });
});

describe("$addr", () => {
  it("writes nothing into the record once the handle was released: another object may be there", () => {
    run("private", (_s, h) => {
      const c = h.chans.make(int);
      const addr = addrOf(c);
      c.release();
      expect([c.$addr, heap.mem.u32[(addr + HCHAN_AT.elemtype) >>> 2]]).toEqual([addr, 0]);
    });
  });
});

describe("the record of a channel", () => {
  it("has Go's size, and begins with the words that operations change", () => {
    expect(HCHAN.size).toBe(112);
    const { lock, qcount, recvq, sendq, closed, sendx, recvx, dataqsiz, buf, elemsize, elemtype } = HCHAN_AT;
    const changes = [lock, qcount, recvq, recvq + 4, sendq, sendq + 4, sendx, recvx];
    expect(Math.max(...changes)).toBeLessThan(Math.min(closed, dataqsiz, buf, elemsize, elemtype));
    // Records of 112 bytes begin at every 16th byte of a line. All but those at 48 have these words on one line.
    const starts = [0, 1, 2, 3].map((k) => (k * HCHAN.size) % 64);
    const lines = starts.map((at) => new Set(changes.map((word) => (at + word) >>> 6)).size);
    expect(lines).toEqual([1, 2, 1, 1]);
    expect(buf % 8).toBe(0);
  });
});
