/** Channels in the heap, made by the runtime: their memory, and what the collector finds through them. */
import { describe, expect, it } from "vitest";
import {
  array,
  bytes,
  type Chan,
  type HeapChan,
  int,
  main,
  makeChan,
  pointer,
  type Runtime,
  recvCase,
  sendCase,
  slice,
  string,
  struct,
  type Type,
} from "../src/index.ts";
import { make } from "./kit.ts";

const Node = struct("Node", {
  name: string,
  n: int,
  get next() {
    return pointer(Node);
  },
});

/** A collection at every safepoint; freed memory is overwritten. */
const stressed = "gcstress=1,clobberfree=1,gccheckmark=1";

describe("makeChan", () => {
  it("makes a channel of JavaScript values, or of a heap type", async () => {
    const rt = make();
    await rt.main(function* () {
      const local: Chan<object> = rt.makeChan<object>(1);
      const heap: HeapChan<typeof int> = rt.makeChan(int, 1);
      expect([String(local), String(heap)]).toEqual(["chan(len 0, cap 1)", "chan int(len 0, cap 1)"]);
      expect([rt.makeChan().capacity, rt.makeChan(string).capacity]).toEqual([0, 0]);
      yield* heap.send(3);
      expect(yield* heap.recv()).toBe(3);
    });
    expect(() => rt.makeChan(null as never)).toThrow("threads: makeChan needs a type (got null)");
  });

  it("is a function of the module as well", async () => {
    await main(function* () {
      const c = makeChan(string, 1);
      yield* c.send("x");
      expect(yield* c.recv()).toBe("x");
      expect(makeChan<number>(2).capacity).toBe(2);
    });
  });

  it("refuses channels of another runtime in one select", async () => {
    const [a, b] = [make(), make()];
    const errors: string[] = [];
    await a.main(function* () {
      try {
        yield* a.select([recvCase(a.makeChan(int)), recvCase(b.makeChan(int))]);
      } catch (e) {
        errors.push(String(e));
      }
    });
    expect(errors).toEqual([
      "TypeError: scheduler: select: case 1 has a channel of another heap than the cases before it",
    ]);
  });

  it("allocates as much as Go's make", () => {
    const rt = make({ godebug: "memprofilerate=0" });
    // As measured with go1.27: objects, and bytes by size class.
    const rows: [Type, number, number, number][] = [
      [int, 0, 1, 112],
      [int, 10, 1, 192],
      [pointer(int), 0, 1, 112],
      [pointer(int), 10, 2, 192],
      [string, 3, 2, 160],
      [struct("Empty", {}), 5, 1, 112],
    ];
    for (const [type, n, objects, size] of rows) {
      rt.makeChan(type, n);
      const before = rt.readMemStats();
      for (let i = 0; i < 100; i++) rt.makeChan(type, n);
      const after = rt.readMemStats();
      const name = `make(chan ${type.name}, ${n})`;
      expect([name, (after.Mallocs - before.Mallocs) / 100]).toEqual([name, objects]);
      expect([name, (after.TotalAlloc - before.TotalAlloc) / 100]).toEqual([name, size]);
    }
  });
});

/** Kinds of elements with pointers: a value for i, and what a receiver reads of it. */
const kinds: readonly [string, Type, (rt: Runtime, i: number) => unknown, (v: never) => unknown][] = [
  ["string", string, (_rt, i) => `text ${i}`, (v) => v],
  ["bytes", bytes, (_rt, i) => new Uint8Array([i, 1, 2]), (v) => `text ${(v as Uint8Array)[0]}`],
  [
    "pointer",
    pointer(Node),
    (rt, i) => rt.newObject(Node, { name: `text ${i}`, next: rt.newObject(Node, { name: "next" }) }),
    (v: { name: string; next: { name: string } | null }) => (v.next?.name === "next" ? v.name : "lost"),
  ],
  ["slice", slice(string), (_rt, i) => [`text ${i}`], (v: { get(i: number): string }) => v.get(0)],
  [
    "struct",
    Node,
    (rt, i) => ({ name: `text ${i}`, n: 5, next: rt.newObject(Node, { name: "next" }) }),
    (v: { name: string; n: number; next: { name: string } | null }) =>
      v.n === 5 && v.next?.name === "next" ? v.name : "lost",
  ],
  ["array", array(string, 3), (_rt, i) => ["a", `text ${i}`], (v: { get(i: number): string }) => v.get(1)],
];

describe("elements with pointers", () => {
  it.each(kinds)(
    "of type %s survive collections in the ring, while they wait, and on their way",
    async (...kind) => {
      const [, type, value, read] = kind;
      const rt = make({ godebug: stressed });
      await rt.main(function* () {
        for (const size of [0, 1, 3]) {
          const c = rt.makeChan(type, size);
          const sent = 12;
          const got: unknown[] = [];
          for (const receiverFirst of [true, false]) {
            const receive = function* () {
              for (let i = 0; i < sent; i++) {
                const v = yield* c.recv();
                if (i % 3 === 0) yield* rt.gosched();
                got.push(read(v as never));
              }
            };
            const send = function* () {
              for (let i = 0; i < sent; i++) {
                yield* c.send(value(rt, i));
                if (i % 4 === 0) yield* rt.gosched();
              }
            };
            const first = rt.go(receiverFirst ? receive : send);
            for (let i = 0; i < 3; i++) yield* rt.gosched();
            const second = rt.go(receiverFirst ? send : receive);
            yield* first.done();
            yield* second.done();
            expect(got.splice(0)).toEqual(Array.from({ length: sent }, (_, i) => `text ${i}`));
          }
        }
      });
    },
  );

  it.each(kinds)("of type %s survive collections in a select", async (...kind) => {
    const [, type, value, read] = kind;
    const rt = make({ godebug: stressed });
    await rt.main(function* () {
      const [a, b] = [rt.makeChan(type), rt.makeChan(type, 1)];
      const stop = rt.makeChan<void>();
      const got: unknown[] = [];
      const sent = 20;
      rt.go(function* () {
        for (let i = 0; i < sent; i++) {
          const v = value(rt, i);
          yield* rt.select([sendCase(a, v), sendCase(b, v), recvCase(stop)]);
          if (i % 3 === 0) yield* rt.gosched();
        }
      });
      for (let i = 0; i < sent; i++) {
        const r = yield* rt.select([recvCase(a), recvCase(stop), recvCase(b)]);
        if (i % 4 === 0) yield* rt.gosched();
        got.push(read(r.value as never));
      }
      expect(got.sort()).toEqual(Array.from({ length: sent }, (_, i) => `text ${i}`).sort());
    });
  });

  it("are found while a cycle marks, whatever moves meanwhile", async () => {
    const rt = make({ godebug: "clobberfree=1,gccheckmark=1" });
    await rt.main(function* () {
      const c = rt.makeChan(pointer(Node), 50);
      const d = rt.makeChan(Node);
      let lost = 0;
      const count = 3000;
      rt.go(function* () {
        for (let i = 0; i < count; i++) yield* c.send(rt.newObject(Node, { name: `n${i}`, n: i }));
        c.close();
      });
      // Moves each object from a pointer to a struct by value, and on.
      rt.go(function* () {
        yield* c.forEach(function* (p) {
          yield* d.send({ name: p!.name, n: p!.n, next: p });
          p!.release();
        });
        d.close();
      });
      let seen = 0;
      yield* d.forEach(function* (v) {
        if (v.name !== `n${v.n}` || v.next?.name !== v.name) lost++;
        // Steps of a cycle between the operations.
        if (seen % 50 === 0 && !rt.collector.marking) rt.collector.start();
        else rt.collector.step(20);
        if (seen % 10 === 0) yield* rt.gosched();
        seen++;
        v.release();
      });
      expect([seen, lost]).toEqual([count, 0]);
    });
  });
});

describe("the collector", () => {
  it("takes an element that was received, while the channel and its waiters live", async () => {
    const rt = make({ godebug: "clobberfree=1,hostgc=0,memprofilerate=0" });
    const long = "x".repeat(20_000);
    await rt.main(function* () {
      for (const size of [0, 2]) {
        const c = rt.makeChan(Node, size);
        rt.gc();
        const { HeapAlloc } = rt.readMemStats();
        rt.go(function* () {
          for (let i = 0; i < 4; i++) yield* c.send({ name: long });
        });
        yield* rt.sleep(1);
        for (let i = 0; i < 4; i++) (yield* c.recv())!.release();
        yield* rt.sleep(1);
        rt.gc();
        // Structs are kept as places of the next elements, without their strings.
        expect(rt.readMemStats().HeapAlloc - HeapAlloc).toBeLessThan(long.length);
      }
    });
  });

  it("finds an element that a goroutine takes out of the ring before the cycle has seen the ring", async () => {
    const rt = make({ godebug: "clobberfree=1,hostgc=0" });
    await rt.main(function* () {
      for (const waiting of [0, 2]) {
        const c = rt.makeChan(Node, 4);
        rt.go(function* () {
          for (let i = 0; i < 4 + waiting; i++) yield* c.send({ name: `element ${i}` });
        });
        yield* rt.sleep(1);
        rt.gc();
        rt.collector.start();
        const got = [];
        for (let i = 0; i < 4; i++) got.push((yield* c.recv())!);
        rt.gc();
        rt.gc();
        expect(got.map((v) => v.name)).toEqual([0, 1, 2, 3].map((i) => `element ${i}`));
        for (let i = 0; i < waiting; i++) expect((yield* c.recv())!.name).toBe(`element ${4 + i}`);
      }
    });
  });

  it("keeps a channel in which a goroutine waits, and takes one that nothing refers to", async () => {
    const rt = make({ godebug: "clobberfree=1,hostgc=0" });
    await rt.main(function* () {
      const got: unknown[] = [];
      const c = rt.makeChan(string);
      const again = rt.makeChan(string);
      rt.go(function* () {
        got.push((yield* rt.select([recvCase(c), recvCase(rt.makeChan(int))])).value);
        got.push(yield* again.recv());
      });
      yield* rt.gosched();
      rt.gc();
      const { HeapObjects } = rt.readMemStats();
      for (let i = 0; i < 5; i++) rt.makeChan(pointer(int), 2).release();
      expect(rt.readMemStats().HeapObjects).toBe(HeapObjects + 10);
      // The goroutine still waits through this handle.
      c.release();
      for (let i = 0; i < 3; i++) rt.gc();
      expect(rt.readMemStats().HeapObjects).toBe(HeapObjects);
      again.trySend("x");
      yield* rt.gosched();
      expect(got).toEqual([]);
    });
  });
});
