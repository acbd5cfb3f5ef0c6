// A sink that fails in the middle of each kind of profile: its error arrives, no other error, and the next write works.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { createProfiler, type Profiler, type Sink } from "../src/index.ts";
import { decodeProfile } from "../src/pprof/index.ts";

const dir = mkdtempSync(join(tmpdir(), "gort-sinks-"));
afterAll(() => rmSync(dir, { recursive: true }));

const source = {
  forEach: (visit: (stack: { func: string; file: string; line: number }[]) => void) =>
    visit([{ func: "main.f", file: "f.ts", line: 1 }]),
};

/** Writes one profile of `p` to a sink. */
type Write = (p: Profiler, sink: Sink) => Promise<void>;
const named =
  (name: string): Write =>
  async (p, sink) => {
    if (name === "v8heap") p.startV8HeapProfile();
    if (name === "eventloop") p.startEventLoopProfile();
    if (name === "files" && p.lookup(name) === null) p.newProfile(name).add({});
    await p.lookup(name)!.writeTo(sink);
  };
const kinds: [string, Write][] = [
  ...["heap", "allocs", "block", "mutex", "goroutine", "goroutineleak", "threadcreate"].map(
    (name): [string, Write] => [name, named(name)],
  ),
  ...["v8heap", "eventloop", "files"].map((name): [string, Write] => [name, named(name)]),
  [
    "cpu",
    async (p, sink) => {
      p.startCPUProfile(sink);
      await p.stopCPUProfile();
    },
  ],
];

/** A stream that takes `n` bytes, then fails. */
function full(n: number): Writable {
  let taken = 0;
  const stream = new Writable({
    write: (chunk: Uint8Array, _encoding, done) => {
      taken += chunk.length;
      setImmediate(() => done(taken > n ? new Error("no space after some bytes") : null));
    },
  });
  stream.on("error", () => {});
  return stream;
}

const sinks: [string, () => Sink, string][] = [
  ["a Node stream that fails after some bytes", () => full(10), "no space after some bytes"],
  [
    "a web stream that aborts",
    () =>
      new WritableStream<Uint8Array>({
        write: (_chunk, controller) =>
          new Promise((_, reject) => {
            controller.error(new Error("web aborted"));
            setImmediate(() => reject(new Error("web aborted")));
          }),
      }),
    "web aborted",
  ],
  [
    "a function that throws",
    () => () => {
      throw new Error("thrown");
    },
    "thrown",
  ],
  ["a function that rejects", () => () => Promise.reject(new Error("rejected")), "rejected"],
];

describe.each(kinds)("the profile %s", (_, write) => {
  let p: Profiler;
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => void unhandled.push(reason);
  beforeEach(() => {
    p = createProfiler({ goroutines: source, leakedGoroutines: source, threads: source });
    process.on("unhandledRejection", note);
  });
  afterEach(() => {
    p.close();
    process.off("unhandledRejection", note);
  });

  it.each(sinks)("survives %s", async (_, make, message) => {
    await expect(write(p, make())).rejects.toThrow(message);
    const parts: Uint8Array[] = [];
    await write(p, (bytes) => void parts.push(bytes));
    expect(parts).toHaveLength(1);
    expect((await decodeProfile(parts[0])).sampleTypes.length).toBeGreaterThan(0);
    // One turn of the event loop, in which unhandled rejections would be reported.
    await new Promise((resolve) => setImmediate(resolve));
    expect(unhandled).toEqual([]);
  });
});

// Only profiles with a name write files. A CPU profile has only its sink.
describe.each(kinds.filter(([name]) => name !== "cpu"))("the file of the profile %s", (name, write) => {
  it("is complete or absent", async () => {
    const p = createProfiler({ goroutines: source, leakedGoroutines: source, threads: source });
    await write(p, () => {});
    const profile = p.lookup(name)!;
    const path = join(dir, `${name}.pprof`);
    mkdirSync(path);
    await expect(profile.writeFile(path)).rejects.toThrow(/EISDIR|ENOTEMPTY|EEXIST|EPERM/);
    await expect(profile.writeFile(join(path, "missing", "x"))).rejects.toThrow(/ENOENT/);
    expect(readdirSync(dir)).toEqual([`${name}.pprof`]);
    expect(readdirSync(path)).toEqual([]);
    rmdirSync(path);
    await profile.writeFile(path);
    expect((await decodeProfile(readFileSync(path))).sampleTypes.length).toBeGreaterThan(0);
    rmSync(path);
    p.close();
  });
});
