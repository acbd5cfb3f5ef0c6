/** Helpers of the adapters' tests: streams of both kinds at every kind of end, and checks of what they leave behind. */
import type { EventEmitter } from "node:events";
import { Readable } from "node:stream";
import { afterAll, beforeAll, expect } from "vitest";
import type { Source } from "../../src/adapters.ts";
import { defaultScheduler, main } from "../../src/index.ts";

const unhandled: unknown[] = [];
const note = (e: unknown) => unhandled.push(e);
beforeAll(() => {
  process.on("unhandledRejection", note);
});
afterAll(() => {
  process.off("unhandledRejection", note);
});

export const later = (ms = 5) => new Promise<void>((r) => setTimeout(r, ms));

/** Runs `body` as a program, and checks that it leaves no goroutine, wait or unhandled rejection behind. */
export async function clean<T>(body: () => Generator<undefined, T, unknown>): Promise<T> {
  const s = defaultScheduler();
  const result = await main(body);
  await later();
  expect(unhandled.splice(0)).toEqual([]);
  expect({ syscalls: s.nsyscall, host: s.nhost, goroutines: s.ngoroutines }).toEqual({
    syscalls: 0,
    host: 0,
    goroutines: 0,
  });
  return result;
}

/** The values that a source still gives. */
export function* rest<T>(src: Source<T>): Generator<undefined, T[], unknown> {
  const got: T[] = [];
  yield* src.C.forEach((v) => {
    got.push(v);
  });
  return got;
}

/** How many listeners an emitter has, by event. */
export function listeners(e: EventEmitter): Record<string, number> {
  const out: Record<string, number> = {};
  for (const name of e.eventNames()) out[String(name)] = e.listenerCount(name);
  return out;
}

/** The error with which the streams of a script fail. */
export const broken = new Error("connection reset");

/** How a stream of numbers behaves. The first three give 1 and 2 if they get that far. */
export type Script = "end" | "error" | "error before" | "endless" | "never" | "closing fails";

export async function* numbers(script: Script): AsyncGenerator<number> {
  try {
    if (script === "error before") throw broken;
    if (script === "never") await new Promise(() => {});
    for (let i = 1; script === "endless" || script === "closing fails" || i <= 2; i++) yield i;
    if (script === "error") throw broken;
  } finally {
    // biome-ignore lint/correctness/noUnsafeFinally: the case is a clean-up that fails
    if (script === "closing fails") throw broken;
  }
}

export function webStream(script: Script): ReadableStream<number> {
  let i = 0;
  return new ReadableStream<number>({
    start(c) {
      if (script === "error before") c.error(broken);
    },
    pull(c) {
      if (script === "never") return new Promise(() => {});
      if (script === "endless" || script === "closing fails" || i < 2) c.enqueue(++i);
      else if (script === "error") c.error(broken);
      else c.close();
      return undefined;
    },
    cancel() {
      if (script === "closing fails") throw broken;
    },
  });
}

export function nodeStream(script: Script): Readable {
  let i = 0;
  return new Readable({
    objectMode: true,
    highWaterMark: 1,
    construct(cb) {
      cb(script === "error before" ? broken : null);
    },
    read() {
      if (script === "never") return;
      if (script === "endless" || script === "closing fails" || i < 2) this.push(++i);
      else if (script === "error") this.destroy(broken);
      else this.push(null);
    },
  });
}
