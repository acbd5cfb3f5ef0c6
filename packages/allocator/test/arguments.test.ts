import { createLinearMemory } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { createAllocator } from "../src/index.ts";
import { verifyHeap } from "../src/testing.ts";

it("an argument of the wrong kind is named, with what was expected", () => {
  const mem = createLinearMemory({ maxMemory: 64 << 20 });
  const a = createAllocator({ memory: mem }) as never as Record<string, (...args: unknown[]) => unknown>;
  const create = (options: unknown) => () => createAllocator(options as never);
  expect(create({ memory: mem.memory })).toThrow(
    "allocator: memory must be a LinearMemory, as attachLinearMemory gives for a WebAssembly.Memory (got Memory)",
  );
  expect(create({ memory: null })).toThrow("allocator: memory must be a LinearMemory");
  expect(create(null)).toThrow("allocator: options must be an object (got null)");
  expect(create({ memory: mem, clock: 3n })).toThrow("allocator: clock must be a function (got bigint)");
  expect(() => a.watchWorker({}, 3)).toThrow("worker must be an object with a method once, as Node's Worker");
  expect(() => a.watchWorker(null, 3)).toThrow("(got null)");
  expect(() => a.watchWorker({ once() {} }, 3n)).toThrow("needs the number of another thread (got 3)");
  expect(() => a.recover(1n)).toThrow("recover needs the id of an allocator (got 1n)");
  expect(() => a.scavenge(1n)).toThrow("scavenge needs a number of bytes (got 1n)");
  expect(() => a.newType(8n, [1])).toThrow("size must be a number (got 8n)");
  expect(() => a.newType(8, [1n])).toThrow("ptrMask must hold numbers (got bigint)");
  expect(() => a.calloc(8n, 1)).toThrow("n must be a number (got 8n)");
});

/** Values that no function of ours takes, and numbers that are no address, size or count. */
const things: readonly unknown[] = [5n, {}, null, "16", Symbol("s"), Object.create(null), () => 1, [8], true];
const noCounts: readonly unknown[] = [Number.NaN, -8, 1.5, Number.POSITIVE_INFINITY, 2 ** 40];
const all = [...things, undefined, ...noCounts];

describe("whatever is passed, the error is ours and names what was expected:", () => {
  const options = { maxMemory: 64 << 20 };
  const a = createAllocator(options) as never as Record<string, (...args: unknown[]) => unknown>;
  const block = (): unknown => a.malloc(64);
  const typ = a.newType(16, [1]);
  const calls: Record<string, [bad: readonly unknown[], call: (x: unknown) => unknown]> = {
    "malloc of size": [all, (x) => a.malloc(x)],
    "malloc with options": [
      things.filter((x) => typeof x !== "object" || x === null),
      (x) => a.malloc(16, x),
    ],
    "malloc with zero": [[...things.filter((x) => x !== true), 1], (x) => a.malloc(16, { zero: x })],
    "malloc with noscan": [things.filter((x) => x !== true), (x) => a.malloc(16, { noscan: x })],
    "calloc of n": [all, (x) => a.calloc(x, 8)],
    "calloc of size": [all, (x) => a.calloc(8, x)],
    "realloc of p": [all, (x) => a.realloc(x, 8)],
    "realloc to size": [all, (x) => a.realloc(block(), x)],
    free: [all, (x) => a.free(x)],
    usableSize: [all, (x) => a.usableSize(x)],
    dup: [all, (x) => a.dup(x)],
    "view of p": [all, (x) => a.view(x, Uint8Array)],
    "view through type": [all, (x) => a.view(block(), x)],
    "view of n": [all.filter((x) => x !== undefined), (x) => a.view(block(), Uint8Array, x)],
    "withView of p": [all, (x) => a.withView(x, Uint8Array, () => 0)],
    "withView through type": [all, (x) => a.withView(block(), x, () => 0)],
    "withView with f": [
      all.filter((x) => typeof x !== "function"),
      (x) => a.withView(block(), Uint8Array, x),
    ],
    "mallocgc of size": [all, (x) => a.mallocgc(x, 0, true)],
    "mallocgc of size and type": [all, (x) => a.mallocgc(x, typ, true)],
    "mallocgc of type": [[...things, undefined, ...noCounts], (x) => a.mallocgc(16, x, true)],
    mallocNoscan: [all, (x) => a.mallocNoscan(x)],
    mallocTyped: [all, (x) => a.mallocTyped(x)],
    "addSpecial to addr": [all, (x) => a.addSpecial(x, 1, 2)],
    "addSpecial of kind": [all, (x) => a.addSpecial(block(), x, 2)],
    "addSpecial with data": [all, (x) => a.addSpecial(block(), 1, x)],
    "addSpecial with data2": [all.filter((x) => x !== undefined), (x) => a.addSpecial(block(), 1, 2, x)],
    "findSpecial of addr": [things, (x) => a.findSpecial(x, 1)],
    "removeSpecial of addr": [things, (x) => a.removeSpecial(x, 1)],
    "newType of size": [all, (x) => a.newType(x, [1])],
    "newType of mask": [all.filter((x) => !Array.isArray(x)), (x) => a.newType(16, x)],
    stackAlloc: [all, (x) => a.stackAlloc(x)],
    "stackFree of addr": [[...things, undefined], (x) => a.stackFree(x, 2048)],
    findObject: [things, (x) => a.findObject(x)],
    spanOf: [things, (x) => a.spanOf(x)],
    readStats: [all, (x) => a.readStats(x)],
    setMemProfileRate: [all.filter((x) => x !== -8 && x !== 2 ** 40), (x) => a.setMemProfileRate(x)],
    "option maxMemory": [all.filter((x) => x != null), (x) => createAllocator({ maxMemory: x as never })],
    "option checks": [
      things.filter((x) => x !== true),
      (x) => createAllocator({ ...options, checks: x as never }),
    ],
    "option seed": [[...things, Number.NaN, 1.5], (x) => createAllocator({ ...options, seed: x as never })],
    "option clock": [
      things.filter((x) => typeof x !== "function"),
      (x) => createAllocator({ ...options, clock: x as never }),
    ],
    "option memory": [things, (x) => createAllocator({ memory: x as never })],
    "option shared": [
      things.filter((x) => x !== true),
      (x) => createAllocator({ ...options, shared: x as never }),
    ],
    "option kernel": [things, (x) => createAllocator({ ...options, kernel: x as never })],
    options: [things.filter((x) => typeof x !== "object" || x === null), (x) => createAllocator(x as never)],
  };

  it.each(Object.keys(calls))("%s", (name) => {
    const [bad, call] = calls[name];
    for (const x of bad) {
      let error: unknown;
      try {
        call(x);
      } catch (err) {
        error = err;
      }
      const what = `${name}, ${typeof x === "object" && x !== null ? "an object" : String(x)}: ${error}`;
      expect(error instanceof TypeError || error instanceof RangeError, what).toBe(true);
      expect((error as Error).message, what).toMatch(/^(allocator|memory): .*\(got /);
    }
    verifyHeap(a as never);
  });
});
