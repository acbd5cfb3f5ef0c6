/** What the facade says to arguments of a wrong kind: the function that was called, and what it got. */
import { describe, expect, it } from "vitest";
import * as rt from "../src/index.ts";
import { read } from "../src/metrics.ts";
import { lookup, writeProfileFile } from "../src/pprof.ts";
import { decodeProfile } from "../src/pprof-tools.ts";

const wrong = (value: unknown): never => value as never;

describe("a wrong argument", () => {
  it.each<[string, () => unknown, Error]>([
    [
      "after",
      () => rt.after(wrong("5")),
      new TypeError("scheduler: after: duration must be a number of milliseconds (got 5)"),
    ],
    ["caller", () => rt.caller(wrong("x")), new TypeError('profiling: skip must be an integer (got "x")')],
    ["caller", () => rt.caller(0.5), new RangeError("profiling: skip must be an integer (got 0.5)")],
    [
      "callers",
      () => rt.callers(wrong("x"), []),
      new TypeError('profiling: skip must be an integer (got "x")'),
    ],
    [
      "setBlockProfileRate",
      () => rt.setBlockProfileRate(wrong("x")),
      new TypeError('profiling: block profile rate must be a number (got "x")'),
    ],
    [
      "setMutexProfileFraction",
      () => rt.setMutexProfileFraction(Number.NaN),
      new RangeError("profiling: mutex profile fraction must be a number (got NaN)"),
    ],
    [
      "gomaxprocs",
      () => rt.gomaxprocs(wrong("x")),
      new TypeError('scheduler: gomaxprocs must be an integer up to 2147483647 (got "x")'),
    ],
    [
      "makeChan",
      () => rt.makeChan(wrong("a")),
      new TypeError('scheduler: channel capacity must be an integer (got "a")'),
    ],
    [
      "makeChan",
      () => rt.makeChan(0.5),
      new RangeError("scheduler: channel capacity must be an integer (got 0.5)"),
    ],
    [
      "metrics.read",
      () => read([{ name: "/gc/heap/live:bytes" } as never]),
      new TypeError("metrics: read needs samples made by newSample (got object)"),
    ],
    [
      "lookup",
      () => lookup(wrong(5)),
      new TypeError("pprof: a profile's name must be a string (got number)"),
    ],
  ])("of %s is refused: %#", (_what, call, error) => {
    expect(call).toThrow(error);
  });

  it.each<[string, () => Promise<unknown>, Error]>([
    [
      "writeProfileFile",
      () => writeProfileFile("heap", wrong(undefined)),
      new TypeError("profiling: a file's path must be a string (got undefined)"),
    ],
    [
      "decodeProfile",
      () => decodeProfile(wrong("x")),
      new TypeError("pprof: decodeProfile needs a Uint8Array (got string)"),
    ],
  ])("of %s rejects", async (_what, call, error) => {
    await expect(call()).rejects.toThrow(error);
  });
});
