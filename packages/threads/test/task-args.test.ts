import { Worker } from "node:worker_threads";
import { createAllocator, newHeapStats } from "@gort/allocator";
import { createCollector } from "@gort/gc";
import type { Addr } from "@gort/memory";
import { createTestScheduler } from "@gort/scheduler/testing";
import {
  createTypes,
  int,
  pointer,
  type Ref,
  type Slice,
  string,
  struct,
  type Type,
  type TypedHeap,
} from "@gort/types";
import { Crossing } from "@gort/types/internal";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SharedHeap } from "../../types/test/shared-heap.ts";
import { CELL, CELL_AT, HEAD_AT } from "../src/args-layout.ts";
import { HeapChans } from "../src/chans.ts";
import { Cloned, clone, fromClone } from "../src/clone.ts";
import { HANDLE, HANDLE_CHAN, type HandleDescription, type OpenHandle } from "../src/handles.ts";
import type { HeapChan } from "../src/heap-chan.ts";
import { mutex } from "../src/lock-types.ts";
import { Waiters } from "../src/sudog.ts";
import { TaskArgs } from "../src/task-args.ts";
import { verifyArgs } from "../src/testing.ts";
import { argLists, essence, Node, None } from "./args-kit.ts";

interface Thread {
  readonly heap: SharedHeap;
  readonly types: TypedHeap;
  readonly args: TaskArgs;
}

/** Two threads of one heap, on one JavaScript thread. */
function twoThreads(openers?: ReadonlyMap<number, OpenHandle>): { here: Thread; there: Thread } {
  const heap = SharedHeap.create();
  const thread = (heap: SharedHeap): Thread => {
    const types = createTypes(heap);
    return { heap, types, args: new TaskArgs(types, openers) };
  };
  return { here: thread(heap), there: thread(heap.attach()) };
}

const rootOf = (heap: SharedHeap) => (slot: number) => heap.mem.f64[slot >>> 3] - 1;

/** What `essence` compares for a value that goes through `clone`. */
const unclone = (x: unknown): unknown =>
  x instanceof Cloned ? fromClone((x as never)[Symbol.for("gort.clone")]) : essence(x);

describe("arguments of a task", () => {
  it("of the type number arrive as the same numbers, with their signs", () => {
    const { here, there } = twoThreads();
    const edge = 2 ** 31;
    const sent = [
      0,
      -0,
      1,
      -1,
      edge - 1,
      edge,
      -edge,
      -edge - 1,
      2 ** 32,
      0.5,
      -0.5,
      NaN,
      Infinity,
      -Infinity,
    ];
    const got = there.args.decode(here.args.encode("t", sent));
    expect(got.map((x, i) => Object.is(x, sent[i]))).toEqual(sent.map(() => true));
  });

  it("arrive as they were: random lists, from one heap to an attached one and back", () => {
    const { here, there } = twoThreads();
    fc.assert(
      fc.property(argLists, (make) => {
        const sent = make(here.types);
        const want = sent.map(unclone);
        const roots = here.heap.roots;
        const block = here.args.encode("t", sent);
        if (sent.length > 0) verifyArgs(here.types, block, rootOf(here.heap));
        expect(here.heap.roots).toBe(roots + (sent.length > 0 ? 1 : 0));
        const got = there.args.decode(block);
        expect(got.map(essence)).toStrictEqual(want);
        const back = here.args.decode(
          there.args.encode(
            "t",
            got.map((x, i) => recloned(sent[i], x)),
          ),
        );
        expect(back.map(essence)).toStrictEqual(want);
        expect(here.args.local("t", sent).map(essence)).toStrictEqual(want);
        for (const x of [...sent, ...got, ...back]) (x as Partial<Ref<typeof None>> | null)?.release?.();
      }),
      { numRuns: 300 },
    );
  });

  it("survive the journey to a worker and back", { timeout: 60_000 }, async () => {
    const heap = SharedHeap.create(512 << 20);
    const types = createTypes(heap);
    const args = new TaskArgs(types);
    const seed = Math.floor(Math.random() * 2 ** 30);
    const lists = fc.sample(argLists, { numRuns: 400, seed }).map((make) => make(types));
    const worker = new Worker(new URL("workers/args.mjs", import.meta.url), {
      workerData: { memory: heap.mem.memory, count: heap.count },
      execArgv: [],
    });
    const answers = new Promise<{ sent: number[]; cloned: boolean[][] }>((resolve, reject) =>
      worker.on("message", resolve).on("error", reject),
    );
    const exit = new Promise((resolve) => worker.on("exit", resolve));
    worker.postMessage(lists.map((list) => args.encode("t", list)));
    worker.postMessage(lists.map((list) => list.map((x) => x instanceof Cloned)));
    const { sent } = await answers;
    lists.forEach((list, k) => {
      if (list.length > 0) verifyArgs(types, sent[k] as Addr, rootOf(heap));
      const got = args.decode(sent[k] as Addr);
      expect(got.map(essence), `seed ${seed}, list ${k}`).toStrictEqual(list.map(unclone));
    });
    expect(await exit).toBe(0);
  });

  it("have one root until they are taken", () => {
    const { here, there } = twoThreads();
    const ref = here.types.newObject(Node, { value: 7 });
    const list = here.types.sliceOf(int, [1, 2]);
    const addrs = [ref.$addr, list.$addr] as number[];
    const block = here.args.encode("t", [1, ref, "text", list]);
    ref.release();
    list.release();
    // A root of the thread would end with the thread.
    expect([here.heap.roots, here.heap.sharedRefs]).toEqual([1, 1]);
    const { u32 } = here.heap.mem;
    const objects = [1, 2, 3, 4].map((i) => u32[(block + i * CELL.size + CELL_AT.object) >>> 2]);
    expect(objects).toEqual([0, addrs[0], 0, addrs[1]]);
    expect(u32[(block + HEAD_AT.bytes) >>> 2]).not.toBe(0);
    const [, ref2, , list2] = there.args.decode(block) as [
      number,
      Ref<typeof Node>,
      string,
      Ref<typeof Node>,
    ];
    // The root of the arguments is gone; each handle has its own.
    expect(here.heap.roots).toBe(2);
    expect(ref2.value).toBe(7);
    ref2.release();
    list2.release();
    expect(here.heap.roots).toBe(0);
  });

  it("keep their objects alive over collections, and are garbage afterwards", () => {
    const allocator = createAllocator({ maxMemory: 64 << 20 });
    const gc = createCollector(allocator, { godebug: "clobberfree=1" });
    const types = createTypes({
      mem: allocator.mem,
      malloc: (size, typ, zero = true) => allocator.mallocgc(size, typ, zero),
      newType: (size, mask) => allocator.newType(size, mask),
      storePointer: (slot, value) => gc.storePointer(slot, value),
      newRef: (addr) => gc.refs.alloc(addr) as never,
      releaseRef: (slot) => gc.refs.free(slot as never),
      roundupsize: (size, noscan) => allocator.roundupsize(size, noscan),
      writeBarrierEnabled: () => gc.barrier.enabled,
    });
    const args = new TaskArgs(types);
    const stats = newHeapStats();
    gc.gc();
    const before = allocator.readStats(stats).heapObjects;
    const eight = types.newObject(Node, { value: 8 });
    const ref = types.newObject(Node, { value: 7, name: "seven", next: eight });
    const list = types.sliceOf(pointer(Node), [ref, null]);
    const part = list.slice(0, 1);
    const block = args.encode("t", ["Zürich".repeat(50), part, ref, clone({ a: [1] }), 10n ** 50n]);
    for (const handle of [eight, ref, list, part]) handle.release();
    verifyArgs(types, block, (slot) => allocator.mem.u32[slot >>> 2]);
    gc.gc();
    gc.gc();
    const [text, slice, again, cloned, big] = args.decode(block) as [
      string,
      Slice<ReturnType<typeof pointer<typeof Node>>>,
      Ref<typeof Node>,
      unknown,
      bigint,
    ];
    gc.gc();
    expect([text, cloned, big]).toEqual(["Zürich".repeat(50), { a: [1] }, 10n ** 50n]);
    const [first, next] = [slice.get(0), again.next];
    expect([slice.length, first?.name, next?.value]).toEqual([1, "seven", 8]);
    for (const handle of [slice, again, first, next]) handle?.release();
    gc.gc();
    expect([allocator.readStats(stats).heapObjects, gc.refs.inuse]).toEqual([before, 0]);
  });

  it("may be locks, alone or in a struct: all threads use one lock", () => {
    const { here, there } = twoThreads();
    const Guarded = struct("ArgsGuarded", { mu: mutex, n: int });
    const g = here.types.newObject(Guarded);
    const sent = here.args.encode("t", [g, g.mu]);
    const [theirs, mu] = there.args.decode(sent) as [Ref<typeof Guarded>, Ref<typeof mutex>];
    expect([mu.tryLock(), g.mu.tryLock(), theirs.mu.tryLock()]).toEqual([true, false, false]);
    g.mu.unlock();
    expect([theirs.mu.tryLock(), mu.tryLock()]).toEqual([true, false]);
  });

  it("are taken once: by decode or by drop", () => {
    const { here, there } = twoThreads();
    const block = here.args.encode("t", ["x"]);
    there.args.decode(block);
    const twice = "threads: the arguments of a task are taken twice";
    expect(() => here.args.decode(block)).toThrow(twice);
    expect(() => here.args.drop(block)).toThrow(twice);
    const other = here.args.encode("t", ["x"]);
    there.args.drop(other);
    expect(() => here.args.decode(other)).toThrow(twice);
    expect(here.heap.roots).toBe(0);
    there.args.drop(here.args.encode("t", []));
    expect(there.args.decode(here.args.encode("t", []))).toEqual([]);
  });

  it("free themselves if they cannot be decoded", () => {
    const { here, there } = twoThreads();
    const block = here.args.encode("t", [here.types.newObject(Node), 1]);
    const { u32 } = here.heap.mem;
    u32[(block + CELL.size + CELL_AT.type) >>> 2] += 4;
    expect(() => there.args.decode(block)).toThrow("types: not the number of a type");
    // The handle of the sender is left.
    expect(here.heap.roots).toBe(1);
  });
});

/** The value for the way back: a clone must be cloned again. */
function recloned(sent: unknown, got: unknown): unknown {
  return sent instanceof Cloned ? clone(got) : got;
}

describe("an argument that must stay", () => {
  const { here } = twoThreads();
  const refusal = (x: unknown, before: unknown[] = []): string => {
    const calls = [here.args.encode.bind(here.args), here.args.local.bind(here.args)];
    const messages = calls.map((f) => {
      try {
        f("sum", [...before, x]);
      } catch (err) {
        expect(err).toBeInstanceOf(TypeError);
        return (err as Error).message;
      }
      throw new Error("not refused");
    });
    expect(new Set(messages).size).toBe(1);
    return messages[0];
  };
  const general =
    "must be a number, boolean, bigint, string, null, undefined or a value of the heap (got WHAT): " +
    "wrap other values in clone(x)";

  it("is named by its place and kind, with the way out", () => {
    const at1 = (text: string): string => `threads: argument 1 of task sum ${text}`;
    expect(refusal(() => 1)).toBe(at1("is a function, and functions stay on their thread"));
    expect(refusal(Symbol("x"))).toBe(at1("is a symbol, and symbols stay on their thread"));
    expect(refusal({ a: 1 })).toBe(at1(general.replace("WHAT", "Object")));
    expect(refusal(new Map(), [1, "a"])).toBe(
      `threads: argument 3 of task sum ${general.replace("WHAT", "Map")}`,
    );
    expect(refusal([1])).toContain("(got Array)");
    expect(refusal(here.types.unsafe.view(Node))).toContain("wrap other values in clone(x)");
    expect(refusal({ [Symbol.for("gort.clone")]: [1] })).toContain("(got Object)");
  });

  it("may be of another heap, or released, by code of a later argument too", () => {
    const { here: foreign } = twoThreads();
    expect(refusal(foreign.types.newObject(Node))).toBe(
      "threads: argument 1 of task sum is a Ref<ArgsNode> of another heap",
    );
    expect(refusal(foreign.types.makeSlice(int, 1))).toContain("is a []int of another heap");
    const ref = here.types.newObject(Node);
    ref.release();
    expect(refusal(ref)).toBe("threads: argument 1 of task sum is a released Ref<ArgsNode>");
    const slice = here.types.makeSlice(int, 1);
    const spy = new Proxy(here.types.newObject(None), {
      get(target, key) {
        slice.release();
        return Reflect.get(target, key) as unknown;
      },
    });
    expect(() => here.args.encode("sum", [slice, spy])).toThrow("argument 1 of task sum is a released []int");
  });

  it("leaves nothing behind: neither roots nor a half-written record", () => {
    const { here } = twoThreads();
    const kept = here.types.newObject(Node);
    const stats = newHeapStats();
    const { mallocs } = here.heap.allocator.readStats(stats);
    expect(() => here.args.encode("t", [kept, "text", () => 1])).toThrow(TypeError);
    expect(here.heap.allocator.readStats(stats).mallocs).toBe(mallocs);
    expect(here.heap.roots).toBe(1);
    let left = 1;
    const { malloc } = SharedHeap.prototype;
    here.heap.malloc = (...a) => {
      if (left-- === 0) throw new RangeError("out of memory");
      return malloc.apply(here.heap, a);
    };
    expect(() => here.args.encode("t", [kept, "text"])).toThrow("out of memory");
    expect(here.heap.roots).toBe(1);
  });

  it("does not run in the middle: code of its type comes before all else, and may fail", () => {
    const { here } = twoThreads();
    const steps: string[] = [];
    const late = (fail: boolean) =>
      here.types.newObject(
        pointer((): typeof Node => {
          steps.push("thunk");
          if (fail) throw new Error("not yet");
          return Node;
        }),
      );
    const args = ["text", late(false), late(false)];
    const failing = late(true);
    const { malloc } = SharedHeap.prototype;
    here.heap.malloc = (...a) => {
      steps.push("malloc");
      return malloc.apply(here.heap, a);
    };
    here.args.encode("t", args);
    expect(steps).toEqual(["thunk", "thunk", "malloc", "malloc"]);
    const { roots } = here.heap;
    expect(() => here.args.encode("t", [...args, failing])).toThrow("not yet");
    expect([here.heap.roots, steps.length]).toEqual([roots, 5]);
  });
});

describe("a handle of another kind", () => {
  class Box {
    readonly description: HandleDescription;
    constructor(description: HandleDescription) {
      this.description = description;
    }
    [HANDLE](): HandleDescription {
      return this.description;
    }
  }

  it("is opened by the function of its kind, with its type", () => {
    const opened: unknown[] = [];
    const openers = new Map<number, OpenHandle>([
      [
        HANDLE_CHAN,
        (addr, type) => {
          opened.push([addr, type]);
          return "handle";
        },
      ],
    ]);
    const { here, there } = twoThreads(openers);
    const { $addr } = here.types.newObject(Node);
    const box = new Box({ kind: HANDLE_CHAN, name: "Box", heap: here.heap, addr: $addr, type: int });
    const typeless = new Box({ ...box.description, type: null });
    const block = here.args.encode("t", [box, typeless]);
    verifyArgs(here.types, block, rootOf(here.heap));
    expect(there.args.decode(block)).toEqual(["handle", "handle"]);
    expect(here.args.local("t", [box])).toEqual(["handle"]);
    expect(opened).toEqual([
      [$addr, int],
      [$addr, null],
      [$addr, int],
    ]);
  });

  it("is a channel of the heap: the task gets a handle of its own to the same channel", () => {
    const { here, there } = twoThreads();
    const thread = ({ heap, types }: Thread, m: number) => {
      const threads = { m, post: () => {} };
      const chans = new HeapChans(types, createTestScheduler(), new Waiters(heap.mem, threads));
      const open: OpenHandle = (addr, type) => chans.at(addr, type as Type);
      return { chans, args: new TaskArgs(types, new Map([[HANDLE_CHAN, open]])) };
    };
    const [a, b] = [thread(here, 0), thread(there, 1)];
    const c = a.chans.make(string, 2);
    const [theirs] = b.args.decode(a.args.encode("t", [c])) as [HeapChan<typeof string>];
    expect(theirs.trySend("from there")).toBe(true);
    expect(c.tryRecv().value).toBe("from there");
    const [own] = a.args.local("t", [c]) as [HeapChan<typeof string>];
    c.release();
    own.trySend("again");
    expect(theirs.tryRecv().value).toBe("again");
    expect(() => a.args.encode("t", [c])).toThrow("argument 1 of task t is a released HeapChan<string>");
    expect(() => clone({ theirs })).toThrow("(got HeapChan<string>)");
  });

  it("is refused if it was released, is of another heap, or of a kind that the other thread does not know", () => {
    const { here, there } = twoThreads();
    const { here: foreign } = twoThreads();
    const { $addr } = here.types.newObject(Node);
    const box = { kind: 99, name: "Box<int>", heap: here.heap, addr: $addr, type: int };
    const released = new Box({ ...box, addr: 0 as Addr });
    expect(() => here.args.encode("t", [released])).toThrow("argument 1 of task t is a released Box<int>");
    const other = new Box({ ...box, heap: foreign.heap });
    expect(() => here.args.encode("t", [other])).toThrow(
      "argument 1 of task t is a Box<int> of another heap",
    );
    const block = here.args.encode("t", [new Box(box)]);
    expect(() => there.args.decode(block)).toThrow("threads: unknown kind of handle (got 99)");
  });
});

describe("verifyArgs", () => {
  it("finds each broken word", () => {
    const { here } = twoThreads();
    const { u32 } = here.heap.mem;
    const good = (): Addr =>
      here.args.encode("t", [here.types.newObject(Node), here.types.makeSlice(int, 1, 2), "text", true, 1]);
    verifyArgs(here.types, good(), rootOf(here.heap));
    const cell = (i: number, field: keyof typeof CELL_AT): number => i * CELL.size + CELL_AT[field];
    const faults: [offset: number, value: number, text: string][] = [
      [HEAD_AT.state, 1, "state 1"],
      [HEAD_AT.n, 0, "n 0"],
      [HEAD_AT.n, 2, "bytes end at 0, nbytes is 8"],
      [HEAD_AT.root, 0, "no root"],
      [HEAD_AT.bytes, 0, "bytes 0, nbytes 8"],
      [HEAD_AT.bytesHigh, 1, "bytesHigh 1"],
      [HEAD_AT.nbytes, 16, "bytes end at 8, nbytes is 16"],
      [cell(1, "tag"), 14, "cell 1 of tag 14: unknown"],
      [cell(1, "object"), 0, "cell 1 of tag 10: no object"],
      [cell(1, "objectHigh"), 3, "objectHigh 3"],
      [cell(1, "type"), 0, "no type"],
      [cell(1, "type"), 4, "not the number of a type"],
      [cell(2, "data"), 3, "cell 2 of tag 11: 3 of 2"],
      [cell(2, "object"), 0, "cell 2 of tag 11: 1 of 2"],
      [cell(3, "data"), 8, "bytes at 8, not at 0"],
      [cell(3, "object"), 8, "object 8"],
      [cell(4, "data") + 4, 8, "cell 4 of tag 3: data 8"],
      [cell(5, "type"), 8, "cell 5 of tag 4: type 8"],
    ];
    for (const [offset, value, text] of faults) {
      const block = good();
      u32[(block + offset) >>> 2] = value;
      expect(() => verifyArgs(here.types, block, rootOf(here.heap)), text).toThrow(text);
    }
    expect(() => verifyArgs(here.types, good(), () => 8)).toThrow("root holds 8");
  });
});

it("types of arguments get numbers only when they leave the thread", () => {
  const { here } = twoThreads();
  here.args.local("t", [here.types.newObject(Node)]);
  const before = here.heap.mem.stats.sys;
  expect(new Crossing(here.types).parts(here.types.newObject(Node))?.type).toBe(Node);
  expect(here.heap.mem.stats.sys).toBe(before);
});
