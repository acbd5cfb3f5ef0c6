import fs, { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import * as debug from "../src/debug.ts";
import { setDefaultRuntime } from "../src/default.ts";
import { createRuntime, type Runtime, stack } from "../src/index.ts";
import { closeAfterTest } from "./kit.ts";

let printed = "";
function make(): Runtime {
  const stderr = (text: string): void => {
    printed += text;
  };
  const rt = createRuntime({ maxMemory: 128 << 20, godebug: "", gogc: 100, stderr, seed: 1 });
  setDefaultRuntime(rt);
  closeAfterTest(rt);
  return rt;
}
afterEach(() => {
  printed = "";
  vi.restoreAllMocks();
});

describe("writeHeapDump", () => {
  it("goes on where a write ended early", () => {
    const rt = make();
    for (let i = 0; i < 500; i++) rt.unsafe.mallocgc(64, 0);
    const { writeSync } = fs;
    let writes = 0;
    vi.spyOn(fs, "writeSync").mockImplementation(((fd: number, data: Uint8Array) => {
      writes++;
      return writeSync(fd, data.subarray(0, 1000));
    }) as typeof fs.writeSync);
    const path = join(tmpdir(), `gort-short-writes-${process.pid}.heapdump`);
    try {
      const n = debug.writeHeapDump(path);
      const bytes = readFileSync(path);
      expect(bytes.length).toBe(n);
      expect(writes).toBeGreaterThanOrEqual(n / 1000);
      expect(debug.readHeapDump(bytes).objectCount).toBe(rt.readMemStats().HeapObjects);
    } finally {
      rmSync(path, { force: true });
    }
  });
});

describe("stack", () => {
  /** Deep in functions of long names, so that the text is longer than its first buffer. */
  function aFunctionWithALongNameThatCallsItself(depth: number): string {
    if (depth > 0) return aFunctionWithALongNameThatCallsItself(depth - 1);
    debug.printStack();
    return new TextDecoder().decode(debug.stack());
  }

  it("begins with the caller, however it is asked for", async () => {
    const rt = make();
    const buf = new Uint8Array(1 << 12);
    const decode = (b: Uint8Array): string => new TextDecoder().decode(b);
    const ways: Record<string, () => string> = {
      "debug.stack": function asks() {
        return decode(debug.stack());
      },
      "debug.printStack": function asks() {
        printed = "";
        debug.printStack();
        return printed;
      },
      stack: function asks() {
        return decode(buf.subarray(0, stack(buf, false)));
      },
      "stack of all": function asks() {
        return decode(buf.subarray(0, stack(buf, true)));
      },
      "the runtime's stack": function asks() {
        return decode(buf.subarray(0, rt.stack(buf, false)));
      },
      "the scheduler's stack": function asks() {
        return decode(buf.subarray(0, rt.scheduler.stack(buf, false)));
      },
    };
    const texts = await rt.main(function* () {
      yield* rt.gosched();
      return Object.values(ways).map((way) => way());
    });
    for (const text of texts) {
      expect(text).toMatch(
        /^goroutine 1 \[running\]:\n\S*\basks\(\.\.\.\)\n\t\S*debug-output\.test\.ts:\d+\n/,
      );
    }
    // In host code too.
    for (const way of Object.values(ways)) {
      expect(way()).toMatch(/^goroutine 0 \[running\]:\n\S*\basks\(\.\.\.\)\n/);
    }
  });

  it("is whole, however long it is, and what printStack prints", async () => {
    const rt = make();
    let text = "";
    await rt.main(function* theOutermostFunction() {
      yield* rt.gosched();
      text = aFunctionWithALongNameThatCallsItself(20);
    });
    expect(text.length).toBeGreaterThan(2048);
    expect(text.match(/aFunctionWithALongNameThatCallsItself/g)).toHaveLength(21);
    expect(text).toContain("theOutermostFunction");
    expect(text.endsWith("\n")).toBe(true);
    const frames = (s: string): string[] =>
      s.split("\n").filter((line) => /LongName|theOutermost/.test(line));
    expect(frames(printed)).toEqual(frames(text));
  });
});
