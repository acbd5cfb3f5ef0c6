import { inspect } from "node:util";
import type { Operation } from "@gort/scheduler";
import { createTestScheduler } from "@gort/scheduler/testing";
import {
  array,
  createBumpHeap,
  createTypes,
  type Init,
  identical,
  int,
  pointer,
  type Slice,
  slice,
  string,
  struct,
  type Type,
  uint8,
  type Value,
} from "@gort/types";
import { perTypeOf } from "@gort/types/internal";
import { describe, expect, expectTypeOf, it } from "vitest";
import { HeapChans } from "../src/chans.ts";
import { HCHAN_AT } from "../src/hchan.ts";
import { type Arg, chan, type HeapChan } from "../src/index.ts";
import { Waiters } from "../src/sudog.ts";
import { addrOf } from "./kit.ts";

const Job = struct("Job", { n: int, answer: chan(int) });
const Server = struct("Server", { jobs: chan(Job), list: array(chan(string), 2), more: slice(chan(int)) });
/** A message that carries a channel of such messages. */
const Message = struct("Message", {
  n: int,
  get reply() {
    return chan(Message);
  },
});

/** A heap of its own with channels. */
function world() {
  const heap = createBumpHeap({ maxMemory: 64 << 20 });
  const types = createTypes(heap);
  const s = createTestScheduler();
  const chans = new HeapChans(types, s, new Waiters(heap.mem, null));
  perTypeOf(types).chans = () => chans;
  return { heap, types, s, chans };
}

describe("chan", () => {
  it("gives one type for one element type", () => {
    expect(chan(int)).toBe(chan(int));
    expect(chan(chan(Job))).toBe(chan(chan(Job)));
    expect(chan(() => int).elem).toBe(int);
    expect([chan(int), chan(() => chan(int)), chan(pointer(Job))].map(String)).toEqual([
      "chan int",
      "chan chan int",
      "chan *Job",
    ]);
    expect(
      identical(
        chan(int),
        chan(() => int),
      ),
    ).toBe(true);
    expect(identical(chan(int), chan(uint8) as Type)).toBe(false);
    expect(() => chan(null as never)).toThrow("types: chan needs an element type (got object)");
  });

  it("gives values their TypeScript types", () => {
    type Ints = HeapChan<typeof int> | null;
    const ints = chan(int);
    expectTypeOf<Value<typeof ints>>().toEqualTypeOf<Ints>();
    expectTypeOf<Init<typeof ints>>().toEqualTypeOf<Ints>();
    expectTypeOf<Arg<Ints>>().toEqualTypeOf<Ints>();
    const { types, chans } = world();
    const job = types.newObject(Job, { answer: chans.make(int) });
    expectTypeOf(job.answer).toEqualTypeOf<Ints>();
    const server = types.newObject(Server);
    expectTypeOf(server.jobs).toEqualTypeOf<HeapChan<typeof Job> | null>();
    expectTypeOf(chans.make(chan(chan(int))).tryRecv().value).toEqualTypeOf<
      HeapChan<typeof ints> | null | undefined
    >();
    expectTypeOf<Parameters<HeapChan<typeof int>["sendAll"]>>().toEqualTypeOf<[values: Slice<typeof int>]>();
    expectTypeOf<Parameters<HeapChan<typeof int>["recvInto"]>>().toEqualTypeOf<[dst: Slice<typeof int>]>();
    expectTypeOf<ReturnType<HeapChan<typeof int>["recvInto"]>>().toEqualTypeOf<Operation<number>>();
    expectTypeOf<Slice<typeof string>>().not.toExtend<Parameters<HeapChan<typeof int>["sendAll"]>[0]>();
    expectTypeOf(types.newObject(Message).reply).toEqualTypeOf<HeapChan<typeof Message> | null>();
  });
});

describe("a channel in a field", () => {
  it("is the same channel, whichever handle uses it", () => {
    const { types, chans } = world();
    const c = chans.make(Job, 3);
    const server = types.newObject(Server, { jobs: c });
    const got = server.jobs!;
    expect([got === c, got.$addr === c.$addr, got.$type, got.capacity]).toEqual([false, true, Job, 3]);
    const answer = chans.make(int, 1);
    got.trySend({ n: 5, answer });
    c.trySend({ n: 6 });
    const first = c.tryRecv().value!;
    first.answer!.trySend(25);
    expect([first.n, answer.tryRecv().value]).toEqual([5, 25]);
    expect([got.tryRecv().value!.answer, server.list.get(0), server.more.length]).toEqual([null, null, 0]);
    c.close();
    expect([got.closed, server.jobs!.closed]).toEqual([true, true]);
    server.jobs = null;
    expect(server.jobs).toBe(null);
  });

  it("can stand in arrays, slices, other channels and objects of its own", () => {
    const { types, chans } = world();
    const [a, b] = [chans.make(string, 1), chans.make(int, 1)];
    const server = types.newObject(Server, { list: [null, a], more: [b, null, b] });
    server.list.get(1)!.trySend("x");
    server.more.get(2)!.trySend(7);
    expect([a.tryRecv().value, b.length]).toEqual(["x", 1]);
    const both = chans.make(chan(int), 2);
    both.trySend(b);
    both.trySend(null);
    const out = both.tryRecv().value!;
    expect([out.$addr === b.$addr, out.tryRecv().value, both.tryRecv()]).toEqual([
      true,
      7,
      { value: null, ok: true, received: true },
    ]);
    const place = types.newObject(chan(int), out);
    expect(place.value!.$addr).toBe(b.$addr);
  });

  it("carries messages that have the channel itself", () => {
    const { types, chans } = world();
    const c = chans.make(Message, 1);
    c.trySend({ n: 1, reply: c });
    const m = c.tryRecv().value!;
    m.reply!.trySend({ n: m.n + 1, reply: m.reply });
    expect(c.tryRecv().value!.n).toBe(2);
    expect(types.newObject(Message, m).reply!.$addr).toBe(c.$addr);
  });

  it("goes from a waiting sender and to a waiting receiver", () => {
    const { s, chans } = world();
    const c = chans.make(chan(int));
    const sent = [0, 1, 2, 3].map(() => chans.make(int, 1));
    const got: unknown[] = [];
    s.runMain(function* () {
      for (const receiverFirst of [true, false]) {
        const receive = function* () {
          for (let i = 0; i < 2; i++) got.push((yield* c.recv())!.$addr);
        };
        const send = function* () {
          for (const x of sent.splice(0, 2)) yield* c.send(x);
        };
        expect(sent.length).toBe(receiverFirst ? 4 : 2);
        const want = sent.slice(0, 2).map((x) => x.$addr);
        const first = s.go(receiverFirst ? receive : send);
        yield* s.gosched();
        yield* s.go(receiverFirst ? send : receive).done();
        yield* first.done();
        expect(got.splice(0)).toEqual(want);
      }
    });
  });

  it("is marked as one that other threads may know, before the place has its address", () => {
    const { heap, types, chans } = world();
    const c = chans.make(int);
    const type = (): number => heap.mem.u32[(addrOf(c) + HCHAN_AT.elemtype) >>> 2];
    expect([c.needsLock, type()]).toEqual([false, 0]);
    types.newObject(Job, { answer: c });
    expect(type()).toBe(chans.typeId(int));
    expect((c as unknown as { escaped: boolean }).escaped).toBe(true);
  });

  it("takes a channel of an identical type, and no other value", () => {
    const { types, chans, s } = world();
    const P = struct("P", { p: chan(pointer(int)) });
    const place = types.newObject(P, { p: chans.make(pointer(() => int)) });
    expect(place.p!.$type.name).toBe("*int");
    const job = types.newObject(Job, { answer: chans.make(int) });
    const before = job.answer!.$addr;
    const text = "threads: value must be a HeapChan<int> or null (got ";
    const wrong: [unknown, string][] = [
      [chans.make(string), "a HeapChan<string>"],
      [chans.make(chan(int)), "a HeapChan<chan int>"],
      [world().chans.make(int), "a HeapChan of another heap"],
      [new Proxy(chans.make(int), {}), "an object"],
      [Object.create(chans.make(int)), "an object"],
      [s.makeChan(1), "an object"],
      [undefined, "undefined"],
      [before, String(before)],
      [job, "an object"],
    ];
    for (const [value, got] of wrong) {
      let message = "";
      try {
        job.answer = value as never;
      } catch (err) {
        message = err instanceof TypeError ? err.message : String(err);
      }
      expect(message).toContain(got === "an object" ? text : `${text}${got})`);
    }
    expect(job.answer!.$addr).toBe(before);
  });

  it("refuses a released handle, also one that code of the value releases", () => {
    const { types, chans } = world();
    const c = chans.make(int, 1);
    const job = types.newObject(Job);
    const evil = {
      answer: c,
      get n() {
        c.release();
        return 1;
      },
    };
    expect(() => (types.newObject(struct("Two", { at: Job })).at = evil as never)).toThrow(
      "threads: use of a released channel",
    );
    expect(() => (job.answer = c)).toThrow("threads: use of a released channel");
    expect([job.answer, job.n]).toEqual([null, 0]);
  });

  it("is not marked after code of a type's declaration has released the handle", () => {
    const { heap, types, chans } = world();
    let hook = (): void => {};
    const make = () =>
      chans.make(
        pointer(() => {
          hook();
          return int;
        }),
      );
    const [a, b] = [make(), make()];
    hook = () => a.release();
    expect(a.$addr).toBe(addrOf(a));
    hook = () => b.release();
    const place = types.newObject(chan(pointer(int)));
    expect(() => (place.value = b)).toThrow("threads: use of a released channel");
    for (const c of [a, b]) expect(heap.mem.u32[(addrOf(c) + HCHAN_AT.elemtype) >>> 2]).toBe(0);
    expect(place.value).toBe(null);
  });

  it("gives no other address if the program changes the handle", () => {
    const { types, chans } = world();
    const c = chans.make(int, 1);
    const { $addr } = c;
    const job = types.newObject(Job);
    Object.defineProperty(c, "$addr", { value: 4096 });
    Object.assign(c, { addr: 4096, elem: null, group: null });
    job.answer = c;
    expect(job.answer.$addr).toBe($addr);
  });

  it("is refused on reading if the place has the address of something else", () => {
    const { types, chans } = world();
    const job = types.newObject(Job);
    const view = types.unsafe.view(Job, job.$addr);
    view.answer = chans.make(string).$addr;
    expect(() => job.answer).toThrow("threads: the channel's elements have another type (got int)");
    view.answer = job.$addr;
    expect(() => job.answer).toThrow("threads: the channel's elements have another type (got int)");
  });

  it("shows itself in JSON and to inspectors", () => {
    const { types, chans } = world();
    const job = types.newObject(Job, { answer: chans.make(int, 2) });
    job.answer!.trySend(1);
    expect(JSON.stringify(job)).toBe('{"n":0,"answer":{"len":1,"cap":2,"closed":false}}');
    expect(inspect(job)).toBe("Ref<Job> { n: 0, answer: chan int(len 1, cap 2) }");
    expect(JSON.stringify(types.newObject(Job))).toBe('{"n":0,"answer":null}');
  });
});
