/** Channels in fields of the heap: what the collector finds through them. threads-chan.test.ts has several threads. */
import fc from "fast-check";
import { describe, expect, expectTypeOf, it } from "vitest";
import {
  array,
  type Chan,
  chan,
  type HeapChan,
  int,
  type makeChan,
  type Ref,
  type Runtime,
  recvCase,
  slice,
  struct,
  type Type,
} from "../src/index.ts";
import { make } from "./kit.ts";

const Ints = chan(int);
const Server = struct("Server", {
  n: int,
  jobs: Ints,
  all: slice(Ints),
  two: array(Ints, 2),
  meta: chan(Ints),
});

/** A channel of any heap type, as generic code makes it. */
function chanOf<T extends Type>(rt: Runtime, type: T): HeapChan<T> {
  return rt.makeChan(type, 1);
}

describe("the types of makeChan", () => {
  it("name the channel of a JavaScript value, and that of a heap type", () => {
    expectTypeOf<ReturnType<typeof makeChan<string>>>().toEqualTypeOf<Chan<string>>();
    expectTypeOf<ReturnType<Runtime["makeChan"]>>().toEqualTypeOf<Chan<unknown>>();
    const rt = make({});
    const ints = rt.makeChan(int, 1);
    expectTypeOf(ints).toExtend<HeapChan<typeof int>>();
    expectTypeOf<HeapChan<typeof int>>().toExtend<typeof ints>();
    expectTypeOf(ints.trySend).toEqualTypeOf<HeapChan<typeof int>["trySend"]>();
    expectTypeOf(rt.makeChan<typeof int>(int)).toExtend<HeapChan<typeof int>>();
    expectTypeOf(rt.makeChan<number>(3)).toEqualTypeOf<Chan<number>>();
    // @ts-expect-error
    expect(rt.makeChan<string>(int).capacity).toBe(0);
    expect(chanOf(rt, int).trySend(3)).toBe(true);
  });
});

/** Live objects after full collections. */
function objects(rt: Runtime): number {
  for (let i = 0; i < 3; i++) rt.gc();
  return rt.readMemStats().HeapObjects;
}

describe("a channel in a field", () => {
  it("lives while a field refers to it, and is collected afterwards", async () => {
    const rt = make({ godebug: "clobberfree=1,gccheckmark=1,hostgc=0,memprofilerate=0" });
    await rt.main(function* () {
      const server = rt.newObject(Server, { all: [null, null] });
      // The first channel makes what all channels share.
      const first = rt.makeChan(int, 2);
      server.jobs = first;
      first.release();
      server.jobs.release();
      server.jobs = null;
      const before = objects(rt);
      const places: ((c: HeapChan<typeof int> | null) => void)[] = [
        (c) => (server.jobs = c),
        (c) => server.all.set(1, c),
        (c) => server.two.set(1, c),
      ];
      const read = [() => server.jobs, () => server.all.get(1), () => server.two.get(1)];
      places.forEach((put, i) => {
        const c = rt.makeChan(int, 2);
        c.trySend(10 + i);
        put(c);
        c.release();
      });
      expect(objects(rt)).toBe(before + 3);
      for (const [i, get] of read.entries()) {
        const c = get()!;
        expect([c.length, c.capacity, c.tryRecv().value]).toEqual([1, 2, 10 + i]);
        c.release();
      }
      places[0](null);
      expect(objects(rt)).toBe(before + 2);
      for (const put of places) put(null);
      expect(objects(rt)).toBe(before);
    });
  });

  it("lives in the ring of a channel of channels", async () => {
    const rt = make({ godebug: "clobberfree=1,gccheckmark=1,hostgc=0,memprofilerate=0" });
    await rt.main(function* () {
      const server = rt.newObject(Server);
      const meta = rt.makeChan(Ints, 3);
      server.meta = meta;
      for (let i = 0; i < 3; i++) {
        const c = rt.makeChan(int, 1);
        c.trySend(i);
        yield* meta.send(c);
        c.release();
      }
      meta.release();
      const held = objects(rt);
      const again = server.meta;
      for (let i = 0; i < 3; i++) {
        const c = (yield* again.recv())!;
        expect(c.tryRecv().value).toBe(i);
        c.release();
      }
      expect(objects(rt)).toBe(held - 3);
      again.release();
      server.meta = null;
      // The record and its ring.
      expect(objects(rt)).toBe(held - 5);
    });
  });

  it("keeps its goroutines waiting, and wakes them through another handle", async () => {
    const rt = make({ godebug: "clobberfree=1,hostgc=0" });
    await rt.main(function* () {
      const server = rt.newObject(Server, { jobs: rt.makeChan(int), meta: rt.makeChan(Ints) });
      const got: unknown[] = [];
      const g = rt.go(function* () {
        got.push(yield* server.jobs!.recv());
        const r = yield* rt.select([recvCase(server.jobs), recvCase(server.meta)]);
        got.push(r.index, (r.value as HeapChan<typeof int>).capacity);
      });
      yield* rt.gosched();
      rt.gc();
      yield* server.jobs!.send(7);
      yield* rt.gosched();
      rt.gc();
      yield* server.meta!.send(rt.makeChan(int, 9));
      yield* g.done();
      expect(got).toEqual([7, 1, 9]);
    });
  });

  it("is read as nil after the copy of a struct that has none", async () => {
    const rt = make({ godebug: "gcstress=1,clobberfree=1,gccheckmark=1" });
    await rt.main(function* () {
      const [a, b] = [rt.newObject(Server, { jobs: rt.makeChan(int, 1) }), rt.newObject(Server)];
      const pair = rt.newObject(array(Server, 2), [a, b]);
      yield* rt.gosched();
      pair.get(0).jobs!.trySend(4);
      expect([a.jobs!.tryRecv().value, pair.get(1).jobs]).toEqual([4, null]);
      pair.set(0, pair.get(1));
      expect(pair.get(0).jobs).toBe(null);
    });
  });
});

/** Places of a program: one field, two elements of an array, and the elements of a slice. */
const PLACES = 6;

function get(s: Ref<typeof Server>, at: number): HeapChan<typeof int> | null {
  if (at === 0) return s.jobs;
  return at < 3 ? s.two.get(at - 1) : s.all.get(at - 3);
}

function set(s: Ref<typeof Server>, at: number, c: HeapChan<typeof int> | null): void {
  if (at === 0) s.jobs = c;
  else if (at < 3) s.two.set(at - 1, c);
  else s.all.set(at - 3, c);
}

const place = fc.nat(PLACES - 1);
const step = fc.oneof(
  fc.record({ op: fc.constant("make" as const), to: place, from: place }),
  fc.record({ op: fc.constant("copy" as const), to: place, from: place }),
  fc.record({ op: fc.constant("clear" as const), to: place, from: place }),
  fc.record({ op: fc.constant("send" as const), to: place, from: place }),
  fc.record({ op: fc.constant("receive" as const), to: place, from: place }),
  fc.record({ op: fc.constant("mark" as const), to: place, from: place }),
  fc.record({ op: fc.constant("collect" as const), to: place, from: place }),
);

describe("random programs on channels in fields", () => {
  it("find in each place the channel that was put there, whatever the collector does, and leak none", async () => {
    const rt = make({ godebug: "clobberfree=1,gccheckmark=1,hostgc=0,memprofilerate=0" });
    await rt.main(function* () {
      const server = rt.newObject(Server, { all: [null, null, null], meta: rt.makeChan(Ints, 2) });
      const meta = server.meta!;
      let made = 0;
      const put = (at: number, c: HeapChan<typeof int> | null): void => {
        set(server, at, c);
        c?.release();
      };
      // Makes what all channels share, and the cell in which an element of `meta` would wait.
      put(0, rt.makeChan(int, 1));
      put(0, null);
      meta.tryRecv();
      const empty = objects(rt);
      fc.assert(
        fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
          /** The number of each place's channel, which is its only element; 0: null. */
          const model: number[] = Array(PLACES).fill(0);
          const ring: number[] = [];
          for (const { op, to, from } of steps) {
            if (op === "make") {
              const c = rt.makeChan(int, 1);
              c.trySend((model[to] = ++made));
              put(to, c);
            } else if (op === "copy") {
              put(to, get(server, from));
              model[to] = model[from];
            } else if (op === "clear") {
              set(server, to, null);
              model[to] = 0;
            } else if (op === "send") {
              const c = get(server, from);
              expect(meta.trySend(c)).toBe(ring.length < 2);
              if (ring.length < 2) ring.push(model[from]);
              c?.release();
            } else if (op === "receive") {
              const r = meta.tryRecv();
              expect(r.received).toBe(ring.length > 0);
              if (!r.ok) continue;
              put(to, r.value);
              model[to] = ring.shift()!;
            } else if (op === "mark") {
              if (rt.collector.marking) rt.collector.step(5);
              else rt.collector.start();
            } else rt.gc();
          }
          const addrs = new Map<number, number>();
          model.forEach((n, at) => {
            const c = get(server, at);
            expect(c === null).toBe(n === 0);
            if (c === null) return;
            expect([at, c.tryRecv().value]).toEqual([at, n]);
            c.trySend(n);
            expect(addrs.get(n) ?? c.$addr).toBe(c.$addr);
            addrs.set(n, c.$addr);
            c.release();
          });
          const live = new Set([...model, ...ring]);
          live.delete(0);
          expect(objects(rt)).toBe(empty + live.size);
          for (let at = 0; at < PLACES; at++) set(server, at, null);
          while (meta.length > 0) meta.tryRecv().value?.release();
          expect(objects(rt)).toBe(empty);
        }),
        { numRuns: 60 },
      );
      yield* rt.gosched();
    });
  });
});
