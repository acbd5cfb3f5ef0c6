import { createAllocator } from "@gort/allocator";
import { createCollector } from "@gort/gc";
import { createLinearMemory } from "@gort/memory";
import { createProfiler } from "@gort/profiling";
import { createScheduler } from "@gort/scheduler";
import { createBumpHeap } from "@gort/types";
import { describe, expect, it } from "vitest";
import { createRuntime } from "../src/index.ts";

const MiB = 2 ** 20;

/** A value that an option takes, or gets by mistake. */
type Make = (options: Record<string, unknown>) => { close?(): void };

const makers: Record<string, Make> = {
  createRuntime: (o) => createRuntime({ maxMemory: 64 * MiB, stderr: () => {}, ...o }),
  createAllocator: (o) => createAllocator({ maxMemory: 64 * MiB, ...o }),
  createCollector: (o) => void createCollector(createAllocator({ maxMemory: 64 * MiB }), o) as never,
  createLinearMemory: (o) => void createLinearMemory({ maxMemory: 64 * MiB, ...o }) as never,
  createBumpHeap: (o) => void createBumpHeap(o) as never,
  createScheduler: (o) => createScheduler(o),
  createProfiler: (o) => createProfiler(o),
};

/** Each numeric option: what it takes, and numbers that it refuses besides NaN. */
const options: [make: string, option: string, good: unknown[], bad: number[]][] = [
  ["createRuntime", "maxMemory", [64 * MiB, 128 * MiB], [-1, 0, 64 * MiB + 0.5, 2 ** 33, Infinity]],
  [
    "createRuntime",
    "gogc",
    ["off", -1, 0, 50, 2 ** 31 - 1],
    [1.5, 2 ** 31, 1e300, Infinity, -Infinity, -0.5],
  ],
  ["createRuntime", "memoryLimit", [0, 1e9, 2 ** 63, Infinity], [-1, 1.5, -Infinity]],
  ["createRuntime", "gomaxprocs", [1, 8], [0, -1, 1.5, 2 ** 32, Infinity]],
  ["createRuntime", "memProfileBudget", [0.001, 1], [0, -1, 1.5, Infinity]],
  ["createRuntime", "seed", [0, 1, -5, 2 ** 53 - 1], [1.5, Infinity, -Infinity]],
  ["createAllocator", "maxMemory", [64 * MiB], [-1, 0, 1.5, Infinity]],
  ["createAllocator", "seed", [0, -5, 2 ** 53 - 1], [1.5, Infinity]],
  ["createCollector", "gogc", [-1, 0, 100], [1.5, 2 ** 31, Infinity]],
  ["createCollector", "memoryLimit", [0, 10n ** 9n, Infinity], [-1, 1.5]],
  ["createLinearMemory", "maxMemory", [64 * MiB], [-1, 0, 1.5, Infinity]],
  ["createBumpHeap", "maxMemory", [64 * MiB], [-1, 0, 1.5, Infinity]],
  ["createScheduler", "gomaxprocs", [1, 8], [-1, 1.5, 2 ** 32, Infinity]],
  ["createScheduler", "seed", [0, -5, 2 ** 53 - 1], [1.5, Infinity]],
  ["createProfiler", "memProfileRate", [0, 1, 524288], [-1, 1.5, Infinity]],
  ["createProfiler", "memProfileBudget", [0.001, 1], [0, -1, 1.5, Infinity]],
];

describe("a numeric option", () => {
  for (const [make, option, good, bad] of options) {
    const set = (v: unknown) => makers[make]({ [option]: v })?.close?.();
    // <package>: <option> must be ... (got <value>)
    const text = new RegExp(`^[a-z]+: ${option} must .*\\(got .*\\)$`);
    const refused = (v: unknown): { kind: string; message: string } => {
      try {
        set(v);
      } catch (err) {
        return { kind: (err as Error).constructor.name, message: (err as Error).message };
      }
      return { kind: "taken", message: "" };
    };

    it(`${option} of ${make} takes its range`, () => {
      for (const v of [undefined, ...good]) set(v);
    });

    it.each([Number.NaN, ...bad])(`${option} of ${make} is refused as %d, with a RangeError`, (v) => {
      const { kind, message } = refused(v);
      expect(kind).toBe("RangeError");
      expect(message).toMatch(text);
      expect(message).toContain(`(got ${v})`);
    });

    const kinds: [string, unknown][] = [
      ["a numeral", "100"],
      ["a BigInt", 100n],
      ["null", null],
      ["true", true],
      ["an object", {}],
      ["a symbol", Symbol("s")],
    ];
    const wrong = kinds.filter(([, v]) => !good.some((g) => typeof g === typeof v && typeof g !== "string"));
    it.each(wrong)(`${option} of ${make} is refused as %s, with a TypeError`, (_, v) => {
      const { kind, message } = refused(v);
      expect(kind).toBe("TypeError");
      expect(message).toMatch(text);
    });
  }
});
