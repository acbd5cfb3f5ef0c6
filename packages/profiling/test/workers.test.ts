import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { afterAll, describe, expect, it } from "vitest";
import { decodeProfile } from "../src/pprof/index.ts";
import { type Program, program } from "./support/build.ts";

const programs: Program[] = [];
afterAll(() => {
  for (const p of programs) p.remove();
});

interface Sample {
  funcs: string[];
  labels: Record<string, string>;
  ms: number;
}

/** Runs a program whose workers run worker.ts; it is given the profile's path. */
function make(main: string, worker: string): Program {
  const p = program({ "main.ts": prelude + main, "worker.ts": workerPrelude + worker });
  programs.push(p);
  return p;
}

async function samplesOf(app: Program, file: string): Promise<Sample[]> {
  const profile = await decodeProfile(readFileSync(join(app.dir, file)));
  return Array.from(profile.samples, (s) => ({
    funcs: s.locations.flatMap((l) => l.lines.map((line) => line.function.name)),
    ms: s.values[1] / 1e6,
    labels: Object.fromEntries(s.labels.map(({ key, str }) => [key, str ?? ""])),
  }));
}
const threadsIn = (samples: Sample[], func: string): string[] =>
  [
    ...new Set(samples.filter((s) => s.funcs.some((f) => f.endsWith(func))).map((s) => s.labels.thread)),
  ].sort();

const prelude = `
import { writeFileSync } from "node:fs";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { profiler, setCPUProfileRate, startCPUProfile, stopCPUProfile } from "@gort/profiling";
const start = (kind: string, name?: string): Worker =>
  new Worker(new URL("./worker.js", import.meta.url), { workerData: kind, ...(name === undefined ? {} : { name }) });
const sink = (bytes: Uint8Array): void => writeFileSync("cpu.pprof", bytes);
setCPUProfileRate(1000);
`;
const workerPrelude = `
import { Worker, parentPort, workerData } from "node:worker_threads";
// At least that long; on a busy machine longer, until the process has had some processor time.
function spin(ms: number): number {
  let x = 0;
  const end = performance.now() + ms;
  for (let n = 0; n < 20_000 || performance.now() < end; n++) for (let i = 0; i < 1000; i++) x += Math.sqrt(i);
  return x;
}
`;

describe("a CPU profile of Node's workers", () => {
  it("has the samples of each worker: at any work, from any start, to any end", async () => {
    const app = make(
      `
const kinds = ["loop", "wait", "exit", "end", "throw", "nest"];
const workers = kinds.map((kind) => start(kind, kind));
const stopped = start("stopped", "stopped");
await Promise.all([...workers, stopped].map((w) => once(w, "message")));
startCPUProfile(sink);
await profiler.cpu.begun();
const late = start("late", "late");
await once(late, "message");
const workerOf = (kind: string): Worker => workers[kinds.indexOf(kind)]!;
workerOf("throw").once("error", () => {});
const ended = ["exit", "end", "throw"].map((kind) => new Promise((resolve) => workerOf(kind).once("exit", resolve)));
// A message of a worker reaches only listeners that exist when it arrives.
workerOf("nest").postMessage("go");
await once(workerOf("nest"), "message");
await profiler.cpu.begun();
const spun = [late, workerOf("nest")].map((w) => once(w, "message"));
for (const w of [...workers, stopped, late]) w.postMessage("go");
await once(stopped, "message");
await stopped.terminate();
await Promise.allSettled([...ended, ...spun]);
await stopCPUProfile();
process.exit(7);
`,
      `
const port = parentPort!;
const work: Record<string, () => void> = {
  loop: function loops() { for (;;) spin(50); },
  wait: function waits() { spin(50); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); },
  exit: function exits() { spin(50); process.exit(0); },
  end: function ends() { spin(50); port.close(); },
  throw: function throws() { spin(50); throw new Error("expected"); },
  stopped: function stops() { spin(50); port.postMessage("spun"); spin(60_000); },
  nest: function nests() {
    const nested = new Worker(new URL("./worker.js", import.meta.url), { workerData: "nested" });
    nested.on("message", (m) => port.postMessage(m));
    port.once("message", (m) => nested.postMessage(m));
  },
  late: function lateWork() { spin(50); port.postMessage("spun"); },
  nested: function nestedWork() { spin(50); port.postMessage("spun"); },
};
port.once("message", () => work[workerData]!());
port.postMessage("ready");
`,
    );
    const { status, stderr } = app.run();
    expect([status, stderr]).toEqual([7, ""]);
    const samples = await samplesOf(app, "cpu.pprof");
    expect(threadsIn(samples, "loops")).toEqual(["worker 1 loop"]);
    expect(threadsIn(samples, "waits")).toEqual(["worker 2 wait"]);
    expect(threadsIn(samples, "exits")).toEqual(["worker 3 exit"]);
    expect(threadsIn(samples, "ends")).toEqual(["worker 4 end"]);
    expect(threadsIn(samples, "throws")).toEqual(["worker 5 throw"]);
    expect(threadsIn(samples, "stops")).toEqual(["worker 7 stopped"]);
    expect(threadsIn(samples, "lateWork")).toEqual(["worker 8 late"]);
    expect(threadsIn(samples, "nestedWork")).toEqual(["worker 9"]);
    expect(samples.every((s) => s.labels.thread !== undefined)).toBe(true);
  });

  it("has the labels that held in each thread", async () => {
    const app = make(
      `
const worker = start("w");
await once(worker, "message");
startCPUProfile(sink);
await profiler.cpu.begun();
worker.postMessage("go");
await once(worker, "message");
await stopCPUProfile();
await worker.terminate();
`,
      `
import { do as withLabels } from "@gort/profiling";
function parse(): void { spin(60); }
function render(): void { spin(60); }
parentPort!.on("message", () => {
  withLabels({ phase: "parse" }, parse);
  withLabels({ phase: "render", page: "1" }, render);
  parentPort!.postMessage("done");
});
parentPort!.postMessage("ready");
`,
    );
    const { status, stderr } = app.run();
    expect([status, stderr]).toEqual([0, ""]);
    const samples = await samplesOf(app, "cpu.pprof");
    for (const [func, labels] of [
      ["parse", { phase: "parse", thread: "worker 1" }],
      ["render", { phase: "render", page: "1", thread: "worker 1" }],
    ] as const) {
      const of = samples.filter((s) => s.funcs.some((f) => f.endsWith(`.${func}`)));
      const ms = (list: Sample[]) => list.reduce((sum, s) => sum + s.ms, 0);
      expect(ms(of)).toBeGreaterThan(30);
      // A sample at the edge may be noted before the labels are.
      expect(ms(of.filter((s) => !isDeepStrictEqual(s.labels, labels)))).toBeLessThan(10);
    }
  });

  it("never counts a worker twice that also has a port", async () => {
    const app = make(
      `
import { MessageChannel } from "node:worker_threads";
import { workerThread } from "@gort/profiling";
const { port1, port2 } = new MessageChannel();
profiler.cpu.addThread(workerThread("mine", port1));
const worker = start("w");
worker.postMessage(port2, [port2]);
await once(worker, "message");
startCPUProfile(sink);
await profiler.cpu.begun();
worker.postMessage("go");
await once(worker, "message");
await stopCPUProfile();
await worker.terminate();
`,
      `
import { serveCPUProfile } from "@gort/profiling";
function work(): void { spin(50); }
parentPort!.once("message", (port) => {
  serveCPUProfile(port);
  parentPort!.once("message", () => { work(); parentPort!.postMessage("done"); });
  parentPort!.postMessage("ready");
});
`,
    );
    const { status, stderr } = app.run();
    expect([status, stderr]).toEqual([0, ""]);
    const samples = await samplesOf(app, "cpu.pprof");
    expect(threadsIn(samples, ".work")).toEqual(["mine"]);
    expect(new Set(samples.map((s) => s.labels.thread))).toEqual(new Set(["main", "mine"]));
  });

  it("leaves workers alone if it is told to, and does not need them", async () => {
    const app = make(
      `
import { createProfiler } from "@gort/profiling";
const alone = createProfiler({ cpuWorkers: false });
const worker = start("w");
await once(worker, "message");
alone.setCPUProfileRate(1000);
alone.startCPUProfile(sink);
for (const end = performance.now() + 50; performance.now() < end; );
await alone.stopCPUProfile();
await worker.terminate();
`,
      `parentPort!.postMessage("ready"); spin(60_000);`,
    );
    const { status, stderr } = app.run();
    expect([status, stderr]).toEqual([0, ""]);
    const samples = await samplesOf(app, "cpu.pprof");
    expect(samples.length).toBeGreaterThan(0);
    expect(samples.filter((s) => s.labels.thread !== undefined)).toEqual([]);
  });

  it("names the worker whose samples are missing, and does not wait for ever for native code", () => {
    const app = make(
      `
import { readFileSync } from "node:fs";
import { WorkerSampler } from "../node_modules/@gort/profiling/dist/workers.js";
const worker = start("native", "native");
await once(worker, "message");
const sampler = WorkerSampler.start(1000);
await sampler.begun();
worker.postMessage("go");
const pid = (): string => { try { return readFileSync("pid", "utf8"); } catch { return ""; } };
while (!pid().endsWith("\\n")) await new Promise((resolve) => setTimeout(resolve, 5));
const stopping = sampler.stop(1000);
// A worker that starts now is not asked for its samples.
await once(start("late", "late"), "message");
const profiles = await stopping;
console.log(JSON.stringify({ profiles: profiles.length, lost: sampler.lost }));
process.kill(Number(pid()));
process.exit(0);
`,
      `
import { execFileSync } from "node:child_process";
parentPort!.once("message", () => execFileSync("sh", ["-c", "echo $$ > pid; exec sleep 60"]));
parentPort!.postMessage("ready");
`,
    );
    const { status, stdout, stderr } = app.run();
    expect([status, stderr]).toEqual([0, ""]);
    expect(JSON.parse(stdout)).toEqual({ profiles: 0, lost: ["worker 1 native"] });
  });

  it("holds no worker, and no program, that ends while it runs", () => {
    const app = make(
      `
const worker = start("w");
await once(worker, "message");
startCPUProfile(sink);
await profiler.cpu.begun();
process.exit(5);
`,
      `parentPort!.postMessage("ready"); spin(60_000);`,
    );
    const { status, stderr } = app.run();
    expect([status, stderr]).toEqual([5, ""]);
  });
});
