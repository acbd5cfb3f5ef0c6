import { readFileSync } from "node:fs";
import inspector from "node:inspector";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { Profile } from "pprof-format";
import { afterAll, describe, expect, it, vi } from "vitest";
import { cpuProfileToPprof } from "../src/cpu-pprof.ts";
import { CPUProfiler } from "../src/cpuprof.ts";
import { createProfiler } from "../src/index.ts";
import type { LabelLog } from "../src/label-log.ts";
import { PCTable } from "../src/pc-table.ts";
import { type Program, program } from "./support/build.ts";
import { findGo, pprof } from "./support/go.ts";

const programs: Program[] = [];
afterAll(() => {
  for (const p of programs) p.remove();
});
function make(...args: Parameters<typeof program>): Program {
  const p = program(...args);
  programs.push(p);
  return p;
}

interface Sample {
  values: number[];
  frames: string[];
  labels: Record<string, string>;
}

/** The samples of a profile, frames as "func:line" innermost first. */
function samplesOf(profile: Profile): Sample[] {
  const str = (i: number | bigint) => profile.stringTable.strings[Number(i)];
  const functions = new Map(profile.function.map((f) => [f.id, f]));
  const locations = new Map(profile.location.map((l) => [l.id, l]));
  return profile.sample.map((s) => ({
    values: s.value.map(Number),
    frames: s.locationId.map((id) => {
      const line = locations.get(id)!.line[0];
      return `${str(functions.get(line.functionId)!.name)}:${line.line}`;
    }),
    labels: Object.fromEntries(s.label.map((l) => [str(l.key), str(l.str)])),
  }));
}
const decode = (path: string) => Profile.decode(gunzipSync(readFileSync(path)));

const source = `
import { createWriteStream, writeFileSync } from "node:fs";
import { do as doLabels, profiler, setCPUProfileRate, startCPUProfile, stopCPUProfile } from "@gort/profiling";

interface Work { ms: number }
class Burner {
  burn({ ms }: Work): number {
    let x = 0;
    const end = performance.now() + ms;
    while (performance.now() < end) {
      for (let i = 0; i < 20_000; i++) x += Math.sqrt(i);
    }
    return x;
  }
}
function short(): number { return new Burner().burn({ ms: 200 }); }
function long(): number { return new Burner().burn({ ms: 400 }); }

const took = (f: () => unknown): number => {
  const start = performance.now();
  f();
  return performance.now() - start;
};
const start = performance.now();
setCPUProfileRate(1000);
startCPUProfile((bytes) => writeFileSync(process.argv[2]!, bytes));
let twice = "";
try { startCPUProfile(() => {}); } catch (error) { twice = (error as Error).message; }
setCPUProfileRate(200);
const shortMs = doLabels({ phase: "short" }, () => took(short));
const longMs = doLabels({ phase: "long" }, () => took(long));
const idleFrom = performance.now();
await new Promise((r) => setTimeout(r, 300));
const idleMs = performance.now() - idleFrom;
await Promise.all([stopCPUProfile(), stopCPUProfile()]);
await stopCPUProfile();
const wallMs = performance.now() - start;
console.log(JSON.stringify({ twice, active: profiler.cpu.active, shortMs, longMs, idleMs, wallMs }));
`;
const lineOf = (text: string): number => source.slice(0, source.indexOf(text)).split("\n").length;

describe("lines of a CPU profile", () => {
  const files = make({
    "code.js": `function first(x) {
  return Math.max(x, 2);
}

class Calls {
  each(list) {
    const out = list.map((x) => {
      return x + 1;
    });
    return out;
  }
}
`,
  });
  const url = `file://${files.main}`;
  const frame = (functionName: string, line: number, column: number) => ({
    functionName,
    url,
    lineNumber: line - 1,
    columnNumber: column - 1,
  });
  /** The lines that ticks on \`lines\` of a function are shown at. */
  const shown = (callFrame: ReturnType<typeof frame>, ...lines: number[]) => {
    const profile = {
      nodes: [
        {
          id: 1,
          callFrame: { functionName: "(root)", url: "", lineNumber: -1, columnNumber: -1 },
          children: [2],
        },
        { id: 2, callFrame, positionTicks: lines.map((line) => ({ line, ticks: 1 })) },
      ],
      startTime: 0,
      endTime: 1000,
      samples: lines.map(() => 2),
      timeDeltas: lines.map(() => 10),
    };
    const bytes = cpuProfileToPprof(new PCTable(), [{ name: "main", profile }], { hz: 100 });
    const samples = samplesOf(Profile.decode(bytes));
    return samples.map((s) => [Number(s.frames[0].split(":")[1]), s.values[0]]).sort((a, b) => a[0] - b[0]);
  };

  it("are those of the function; code that V8 has inlined stands on the function's first line", () => {
    expect(shown(frame("first", 1, 15), 2, 3)).toEqual([
      [2, 1],
      [3, 1],
    ]);
    // Line 10 belongs to another function, 187 and 25 to the source of a built-in function.
    expect(shown(frame("first", 1, 15), 2, 10, 187, 25)).toEqual([
      [1, 3],
      [2, 1],
    ]);
    // Before the function, in its closure, after it.
    expect(shown(frame("each", 6, 7), 2, 8, 10, 12)).toEqual([
      [6, 2],
      [8, 1],
      [10, 1],
    ]);
  });

  it("are kept where the source is gone", () => {
    const gone = { ...frame("f", 5, 1), url: "file:///no/such/file.js" };
    expect(shown(gone, 7, 3)).toEqual([
      [5, 1],
      [7, 1],
    ]);
  });
});

describe("V8's samples", () => {
  const frame = (functionName: string, lineNumber: number) => ({
    functionName,
    url: functionName === "(root)" ? "" : "file:///app.js",
    lineNumber,
    columnNumber: 0,
  });
  const nodes = [
    { id: 1, callFrame: frame("(root)", -1), children: [2] },
    { id: 2, callFrame: frame("eventLoop", 1), children: [3] },
    { id: 3, callFrame: frame("runLoop", 11), children: [4] },
    { id: 4, callFrame: frame("outer", 21), children: [5] },
    { id: 5, callFrame: frame("inner", 31) },
  ];
  const convert = (
    more: { samples: number[]; timeDeltas: number[] },
    table = new PCTable(),
    labels: LabelLog | null = null,
  ) => {
    const profile = { nodes, startTime: 1000, endTime: 1200, ...more };
    return samplesOf(
      Profile.decode(cpuProfileToPprof(table, [{ name: "main", profile, labels }], { hz: 100 })),
    );
  };
  const leaf = (s: Sample) => s.frames[0].replace(/^.*?(\w+):\d+$/, "$1");

  it("last until the next one, the last until the end, and none for less than nothing", () => {
    const got = convert({ samples: [5, 4, 5, 2, 4], timeDeltas: [10, 20, 30, -4, 40] });
    expect(Object.fromEntries(got.map((s) => [leaf(s), s.values]))).toEqual({
      // 20 from the first; the third was followed at once.
      inner: [2, 20_000],
      // 30, and from 1096 to the end.
      outer: [2, 30_000 + 104_000],
      eventLoop: [1, 40_000],
    });
  });

  it("of a goroutine end where the run loop has resumed it", () => {
    const table = new PCTable({ isStackBase: ({ functionName }) => functionName === "runLoop" });
    const names = (s: Sample) => s.frames.map((f) => f.replace(/^.*?(\w+):\d+$/, "$1"));
    const each = { samples: [5, 4, 3, 2], timeDeltas: [0, 1, 1, 1] };
    expect(convert(each, table).map(names)).toEqual([
      ["inner", "outer"],
      ["outer"],
      ["runLoop", "eventLoop"],
      ["eventLoop"],
    ]);
    expect(convert(each).map(names)[0]).toEqual(["inner", "outer", "runLoop", "eventLoop"]);
  });

  it("have the labels that held at the start, until others do", () => {
    const first = new Map([["phase", "start"]]);
    const logOf = (now: Map<string, string> | null) =>
      new CPUProfiler(
        new PCTable(),
        () => {},
        () => now,
        () => {},
        false,
      ).openLog();
    const log = logOf(first);
    log.add(new Map([["phase", "later"]]), 1050);
    log.add(null, 1090);
    const got = convert({ samples: [5, 5, 5, 5], timeDeltas: [10, 30, 20, 30] }, new PCTable(), log);
    expect(got.map((s) => [s.labels, s.values])).toEqual([
      [{ phase: "start" }, [2, 50_000]],
      [{ phase: "later" }, [1, 30_000]],
      [{}, [1, 110_000]],
    ]);
    expect(logOf(null).changes()).toEqual([]);
    expect(logOf(new Map()).changes()).toEqual([]);
  });
});

describe("a CPU profile", () => {
  const app = make({ "main.ts": source });
  const file = join(app.dir, "cpu.pprof");
  const { stdout, stderr, status } = app.run(file);
  const profile = status === 0 ? decode(file) : new Profile();
  const samples = samplesOf(profile);
  const time = (keep: (s: Sample) => boolean) =>
    samples.filter(keep).reduce((sum, s) => sum + s.values[1], 0) / 1e6;

  it("refuses to start twice and to change its rate, in Go's words, and ends once", () => {
    expect(status).toBe(0);
    expect(stderr).toBe("runtime: cannot set cpu profile rate until previous profile has finished.\n");
    expect(JSON.parse(stdout)).toMatchObject({ twice: "cpu profiling already in use", active: false });
  });

  it("names the function, its class, and the TypeScript line of the leaf", () => {
    const burns = samples.filter((s) => s.frames[0].startsWith("main.(*Burner).burn:"));
    const lines = new Set(burns.map((s) => Number(s.frames[0].split(":")[1])));
    expect([...lines].every((l) => l >= lineOf("burn({ ms }") && l <= lineOf("return x;"))).toBe(true);
    expect(lines.has(lineOf("x += Math.sqrt(i)"))).toBe(true);
    expect(burns.some((s) => s.frames[1] === `main.long:${lineOf("function long")}`)).toBe(true);
  });

  it("measures time, without the time in which nothing ran", () => {
    const burnt = time((s) => s.frames.some((f) => f.startsWith("main.(*Burner).burn")));
    // Compared with the times that the program measured: on a busy machine they are longer.
    const { shortMs, longMs, idleMs, wallMs } = JSON.parse(stdout) as Record<string, number>;
    expect(burnt / (shortMs + longMs)).toBeGreaterThan(0.84);
    expect(burnt / (shortMs + longMs)).toBeLessThan(1.33);
    expect(time(() => true)).toBeLessThan(wallMs - idleMs / 2);
    const long = time((s) => s.frames.some((f) => f.startsWith("main.long:")));
    const short = time((s) => s.frames.some((f) => f.startsWith("main.short:")));
    expect(long / short / (longMs / shortMs)).toBeGreaterThan(0.75);
    expect(long / short / (longMs / shortMs)).toBeLessThan(1.35);
  });

  it("tells samples apart by the labels that held", () => {
    const wrong = time((s) => s.frames.some((f) => f.startsWith("main.long:")) && s.labels.phase !== "long");
    expect(wrong).toBeLessThan(10);
    expect(time((s) => s.labels.phase === "long")).toBeGreaterThan(350);
  });

  it("has Go's types and a duration", () => {
    const str = (i: number | bigint) => profile.stringTable.strings[Number(i)];
    expect(profile.sampleType.map((t) => [str(t.type), str(t.unit)])).toEqual([
      ["samples", "count"],
      ["cpu", "nanoseconds"],
    ]);
    expect(profile.period).toBe(1_000_000);
    expect(Number(profile.durationNanos)).toBeGreaterThan(8e8);
  });

  const go = findGo();
  it.skipIf(go === null)("is read by go tool pprof (skipped without Go)", () => {
    const top = pprof(go!, "-top", file);
    expect(top).toMatch(/^Type: cpu$/m);
    expect(top).toMatch(/^Duration: /m);
    expect(top).toMatch(/main\.\(\*Burner\)\.burn/);
    expect(pprof(go!, "-tags", file)).toMatch(/phase/);
  });
});

describe("CPU profiles of several threads", () => {
  it("carry the name that a thread was given, also of a worker that is gone", () => {
    const app = make({
      "main.ts": `
import { writeFileSync } from "node:fs";
import { MessageChannel, Worker } from "node:worker_threads";
import { profiler, startCPUProfile, stopCPUProfile, workerThread } from "@gort/profiling";
function start(name: string): Worker {
  const { port1, port2 } = new MessageChannel();
  profiler.cpu.addThread(workerThread(name, port1));
  return new Worker(new URL("./worker.js", import.meta.url), { workerData: { port: port2 }, transferList: [port2] });
}
const worker = start("w1");
const dying = start("w2");
const once = (w: Worker): Promise<unknown> => new Promise((r) => w.once("message", r));
await Promise.all([once(worker), once(dying)]);
startCPUProfile((bytes) => writeFileSync(process.argv[2]!, bytes));
await profiler.cpu.begun();
await dying.terminate();
worker.postMessage("burn");
await once(worker);
await stopCPUProfile();
await worker.terminate();
`,
      "worker.ts": `
import { parentPort, workerData } from "node:worker_threads";
import { serveCPUProfile } from "@gort/profiling";
serveCPUProfile(workerData.port);
function burnInWorker(): number {
  let x = 0;
  const end = performance.now() + 300;
  while (performance.now() < end) for (let i = 0; i < 10_000; i++) x += Math.sqrt(i);
  return x;
}
parentPort!.on("message", () => { parentPort!.postMessage(burnInWorker()); });
parentPort!.postMessage("ready");
`,
    });
    const file = join(app.dir, "cpu.pprof");
    const { stderr, status } = app.run(file);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    const samples = samplesOf(decode(file));
    const burnt = samples.filter((s) => s.frames.some((f) => f.includes("burnInWorker")));
    expect(burnt.length).toBeGreaterThan(0);
    expect(burnt.every((s) => s.labels.thread === "w1")).toBe(true);
    expect(burnt.reduce((sum, s) => sum + s.values[1], 0)).toBeGreaterThan(200e6);
    const names = new Set(samples.map((s) => s.labels.thread));
    expect([...names].filter((name) => !["main", "w1", "w2"].includes(name))).toEqual([]);
  });
});

describe("CPU profile misuse", () => {
  it("is refused with the argument's name", async () => {
    const { setCPUProfileRate, startCPUProfile, stopCPUProfile } = createProfiler();
    expect(() => setCPUProfileRate(Number.NaN)).toThrow(/CPU profile rate/);
    expect(() => startCPUProfile(null as never)).toThrow(TypeError);
    setCPUProfileRate(-1);
    await stopCPUProfile();
  });

  it("stops every other thread if its own samples cannot be fetched", async () => {
    const p = createProfiler();
    let stopped = 0;
    p.cpu.addThread({
      name: "other",
      start() {},
      stop() {
        stopped++;
        return null;
      },
    });
    p.cpu.start(() => {});
    const { post } = inspector.Session.prototype;
    const spy = vi.spyOn(inspector.Session.prototype, "post").mockImplementation(function (
      this: inspector.Session,
      ...args: unknown[]
    ) {
      if (args[0] === "Profiler.stop") throw new Error("no samples");
      return Reflect.apply(post, this, args);
    } as never);
    try {
      await expect(p.cpu.stop()).rejects.toThrow("no samples");
    } finally {
      spy.mockRestore();
    }
    expect(stopped).toBe(1);
    expect(p.cpu.active).toBe(false);
  });

  it("reports a sink that fails at the end, and can start again", async () => {
    const { startCPUProfile, stopCPUProfile } = createProfiler();
    startCPUProfile(() => {
      throw new Error("no space");
    });
    await expect(stopCPUProfile()).rejects.toThrow("no space");
    let bytes = 0;
    startCPUProfile((b) => {
      bytes = b.length;
    });
    await stopCPUProfile();
    expect(bytes).toBeGreaterThan(0);
  });
});

describe("the profile of V8's heap", () => {
  it("names the code whose objects are alive", () => {
    const app = make({
      "main.ts": `
import { lookup, profiles, startV8HeapProfile, stopV8HeapProfile } from "@gort/profiling";
startV8HeapProfile({ intervalBytes: 4096 });
interface Kept { list: number[][] }
const kept: Kept = { list: [] };
class Keeper {
  keep(n: number): void { for (let i = 0; i < n; i++) kept.list.push(new Array<number>(100).fill(i)); }
}
new Keeper().keep(20_000);
await lookup("v8heap")!.writeFile(process.argv[2]!);
const listed = profiles().map((p) => p.name()).includes("v8heap");
stopV8HeapProfile();
console.log(JSON.stringify({ listed, after: lookup("v8heap"), kept: kept.list.length }));
`,
    });
    const file = join(app.dir, "v8.pprof");
    expect(app.json(file)).toEqual({ listed: true, after: null, kept: 20000 });
    const samples = samplesOf(decode(file));
    const bytes = samples.filter((s) => s.frames.some((f) => f.startsWith("main.(*Keeper).keep")));
    const sum = bytes.reduce((n, s) => n + s.values[0], 0);
    // 20000 arrays of 100 elements of 8 bytes and a header: 16.6 MB, sampled 4000 times.
    expect(sum).toBeGreaterThan(14e6);
    expect(sum).toBeLessThan(20e6);
  });

  it("refuses an interval that is no number of bytes", () => {
    expect(() => createProfiler().startV8HeapProfile({ intervalBytes: 0 })).toThrow(/intervalBytes/);
  });
});

describe("a CPU profile that another thread takes", () => {
  function remote(stop: () => Promise<Uint8Array>) {
    const rates: number[] = [];
    const stderr = vi.fn();
    const start = (hz: number): void => {
      if (hz === 13) throw new Error("cpu profiling already in use");
      rates.push(hz);
    };
    const profiler = createProfiler({ stderr, remoteCPUProfile: { start, stop } });
    return { profiler, rates, stderr };
  }

  it("begins and ends there, and is written here", async () => {
    const { profiler, rates, stderr } = remote(() => Promise.resolve(Uint8Array.of(1, 2)));
    const pieces: number[] = [];
    const sink = (piece: Uint8Array): void => void pieces.push(...piece);
    profiler.setCPUProfileRate(50);
    profiler.startCPUProfile(sink);
    expect(rates).toEqual([50]);
    expect(() => profiler.startCPUProfile(sink)).toThrow("cpu profiling already in use");
    profiler.setCPUProfileRate(60);
    expect(stderr).toHaveBeenCalledTimes(1);
    await profiler.cpu.begun();
    // The second call waits for the same end.
    await Promise.all([profiler.stopCPUProfile(), profiler.stopCPUProfile()]);
    expect([pieces, profiler.cpu.active]).toEqual([[1, 2], false]);
    await profiler.stopCPUProfile();
    expect(pieces).toEqual([1, 2]);
    profiler.setCPUProfileRate(13);
    expect(() => profiler.startCPUProfile(sink)).toThrow("cpu profiling already in use");
    expect(profiler.cpu.active).toBe(false);
  });

  it("fails with the other thread's error, and leaves room for another one", async () => {
    const { profiler } = remote(() => Promise.reject(new Error("no profile")));
    profiler.startCPUProfile(() => {});
    await expect(profiler.stopCPUProfile()).rejects.toThrow("no profile");
    expect(profiler.cpu.active).toBe(false);
  });
});
