import { execFileSync } from "node:child_process";
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { StackRecord } from "@gort/profiling";
import { getg } from "@gort/scheduler";
import { build } from "esbuild";
import { afterAll, describe, expect, it } from "vitest";
import { createRuntime, int64, type Ref } from "../src/index.ts";

const dir = mkdtempSync(join(realpathSync(tmpdir()), "gort-own-frames-"));
afterAll(() => rmSync(dir, { recursive: true }));

const program = `
  import * as rt from "@gort/runtime";
  import { stack } from "@gort/runtime/debug";
  import { lookup } from "@gort/runtime/pprof";
  rt.memProfileRate(1);
  const named = { "the program"(n) { return n === 0 ? rt.makeSlice(rt.int64, 1000) : named["the program"](n - 1); } };
  const text = (bytes) => new TextDecoder().decode(bytes);
  const deep = { "asks for its stack"() { return text(stack()); } };
  let kept, dump, all;
  await rt.main(function* () {
    kept = named["the program"](300);
    dump = deep["asks for its stack"]();
    const buf = new Uint8Array(65536);
    all = text(buf.subarray(0, rt.stack(buf, true)));
    rt.gc();
  });
  const heap = text(await lookup("heap").encode(1)).split("\\n").filter((line) => line.startsWith("#\\t"));
  const func = (line) => line.split("\\t")[2].replace(/\\+0x.*/, "").trim();
  console.log(JSON.stringify({ heap: heap.map(func), dump, all, kept: kept.length }));
`;

interface Output {
  heap: string[];
  dump: string;
  all: string;
}

async function bundled(minify: boolean): Promise<Output> {
  const outfile = join(dir, `${minify}.mjs`);
  const dist = (name: string) => fileURLToPath(new URL(`../dist/${name}.js`, import.meta.url));
  await build({
    stdin: { contents: program, resolveDir: dir },
    outfile,
    bundle: true,
    minify,
    format: "esm",
    platform: "node",
    alias: {
      "@gort/runtime/debug": dist("debug"),
      "@gort/runtime/pprof": dist("pprof"),
      "@gort/runtime": dist("index"),
    },
    logLevel: "error",
  });
  return JSON.parse(execFileSync(process.execPath, [outfile], { encoding: "utf8" })) as Output;
}

describe("frames of the runtime", () => {
  it.each([true, false])("are recognised in a bundle without a source map (minified: %s)", async (minify) => {
    const { heap, dump, all } = await bundled(minify);
    // Go keeps 128 frames of the program.
    expect(heap.slice(0, 128)).toEqual(new Array(128).fill("main.the program"));
    expect(dump.split("\n").slice(0, 2)).toEqual(["goroutine 1 [running]:", "main.asks for its stack(...)"]);
    for (const text of [dump, all]) {
      expect(text.split("\n").filter((line) => line.endsWith("(...)")).length).toBe(text === dump ? 2 : 1);
    }
  });
});

describe("profiles of a recursion of 300", () => {
  it("keep 128 frames, the runtime's operations among them but for the heap, as recorded from Go", async () => {
    const rt = createRuntime();
    rt.memProfileRate = 1;
    rt.setBlockProfileRate(1);
    const custom = rt.profiler.newProfile("custom");
    const kept: unknown[] = [];
    await rt.main(function* () {
      const c = rt.makeChan<number>();
      function heapAt(n: number): void {
        if (n === 0) kept.push(rt.makeSlice(int64, 1000));
        else heapAt(n - 1);
      }
      function customAt(n: number): void {
        if (n === 0) custom.add("x");
        else customAt(n - 1);
      }
      function* waitAt(n: number): Generator<undefined, void, unknown> {
        if (n === 0) yield* c.recv();
        else yield* waitAt(n - 1);
      }
      heapAt(300);
      customAt(300);
      rt.go(waitAt, 300);
      rt.go(waitAt, 300);
      yield* rt.gosched();
      yield* c.send(1);
      yield* rt.gosched();
      const counts = new Map<string, number>();
      for (const name of ["heap", "custom", "block", "goroutine"]) {
        const text = new TextDecoder().decode(yield* rt.syscall(rt.profiler.lookup(name)!.encode(1)));
        counts.set(
          name,
          text.split("\n").filter((line) => /^#\t.*\.(heap|custom|wait)At\+/.test(line)).length,
        );
      }
      // Go: 128, 31 of 32, 127 (runtime.chanrecv1), 125 (runtime.gopark, chanrecv and chanrecv1).
      expect(Object.fromEntries(counts)).toEqual({ heap: 128, custom: 127, block: 127, goroutine: 126 });
    });
    expect(kept).toHaveLength(1);
    rt.close();
  });
});

describe("the goroutine that runs a finalizer", () => {
  /** Makes an object that is garbage when this returns. */
  function dropWithFinalizer(
    rt: ReturnType<typeof createRuntime>,
    f: (x: Ref<typeof int64>) => unknown,
  ): void {
    const x = rt.newObject(int64);
    rt.setFinalizer(x, f);
    x.release();
  }

  it("shows in dumps and in the goroutine profile, with its labels, while it does, as in Go", async () => {
    const rt = createRuntime();
    const dump = () => {
      const buf = new Uint8Array(1 << 16);
      return new TextDecoder().decode(buf.subarray(0, rt.stack(buf, true)));
    };
    const running: string[] = [];
    await rt.main(function* () {
      const started = rt.makeChan<number>();
      const go = rt.makeChan<number>();
      dropWithFinalizer(rt, function* fin() {
        rt.profiler.setGoroutineLabels({ who: "fin" });
        running.push(dump(), String(rt.numGoroutine()));
        yield* started.send(getg()!.goid);
        yield* go.recv();
      });
      rt.gc();
      const [id] = [yield* started.recv()];
      const func =
        "\\S*fin\\(\\.\\.\\.\\)\\n\\t.*:\\d+\\nruntime\\.runFinalizers\\(\\.\\.\\.\\)\\n\\t<runtime>:0\\n";
      expect(running[0]).toMatch(
        new RegExp(`^goroutine ${id} \\[running\\] \\{who: fin\\}:\\n.*\\n.*\\n${func}\\ngoroutine 1 \\[`),
      );
      expect(running[1]).toBe("1");
      expect(rt.numGoroutine()).toBe(1);
      expect(dump()).toMatch(
        new RegExp(`\\n\\ngoroutine ${id} \\[chan receive\\] \\{who: fin\\}:\\n${func}$`),
      );
      const profile = new TextDecoder().decode(yield* rt.syscall(rt.profiler.lookup("goroutine")!.encode(1)));
      expect(profile).toContain("goroutine profile: total 2\n");
      expect(profile).toMatch(
        /# labels: \{"who":"fin"\}\n(?:#.*\n)*?#.*fin\+.*\n#\t\S+\truntime\.runFinalizers\+/,
      );
      const records = [new StackRecord(), new StackRecord()];
      expect(rt.goroutineProfile(records)).toEqual({ n: 2, ok: true });
      yield* go.send(1);
      yield* rt.gosched();
      expect(dump()).not.toContain("goroutine 2");
      expect(dump()).not.toContain("who: fin");
    });
    rt.close();
  });

  it("ends the program when its stack overflows", async () => {
    const rt = createRuntime();
    const recurse = (n: number): number => recurse(n + 1) + 1;
    await expect(
      rt.main(function* () {
        dropWithFinalizer(rt, () => recurse(0));
        rt.gc();
        yield* rt.sleep(1000);
      }),
    ).rejects.toMatchObject({ message: "stack overflow" });
    rt.close();
  });
});
