import { createLinearMemory } from "@gort/memory";
import { expect, it } from "vitest";
import { createAllocator } from "../src/index.ts";

it("an argument of the wrong kind is named, with what was expected", () => {
  const mem = createLinearMemory({ maxMemory: 64 << 20 });
  const a = createAllocator({ memory: mem }) as never as Record<string, (...args: unknown[]) => unknown>;
  const create = (options: unknown) => () => createAllocator(options as never);
  expect(create({ memory: mem.memory })).toThrow(
    "allocator: memory must be a LinearMemory, as attachLinearMemory gives for a WebAssembly.Memory (got a Memory)",
  );
  expect(create({ memory: null })).toThrow("allocator: memory must be a LinearMemory");
  expect(create(null)).toThrow("allocator: options must be an object (got null)");
  expect(create({ memory: mem, clock: 3n })).toThrow("allocator: clock must be a function (got bigint)");
  expect(() => a.watchWorker!({}, 3)).toThrow(
    "worker must be an object with a method once, as Node's Worker",
  );
  expect(() => a.watchWorker!(null, 3)).toThrow("(got null)");
  expect(() => a.watchWorker!({ once() {} }, 3n)).toThrow("needs the number of another thread (got 3)");
  expect(() => a.recover!(1n)).toThrow("recover needs the id of an allocator (got 1)");
  expect(() => a.scavenge!(1n)).toThrow("scavenge needs a number of bytes (got 1)");
  expect(() => a.newType!(8n, [1])).toThrow("size must be a number (got 8)");
  expect(() => a.newType!(8, [1n])).toThrow("ptrMask must hold numbers (got bigint)");
  expect(() => a.calloc!(8n, 1)).toThrow("size must be a number (got 8)");
});
