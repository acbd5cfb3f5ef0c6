import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { program } from "./support/build.ts";
import { findGo, pprof, pprofTool } from "./support/go.ts";

const go = findGo();
// These tests run Go's own tool on our files, so they skip without Go.
if (go === null) console.log("go tool pprof: no Go toolchain (GO, or go in PATH); its tests are skipped");

const heapSource = `
import { createProfiler } from "@gort/profiling";
interface Options { rate: number }
const options: Options = { rate: 1 };

const p = createProfiler({ memProfileRate: options.rate });
const tokens: number[] = [];
function small(n: number): void {
  for (let i = 0; i < n; i++) tokens.push(p.mem.alloc(16));
}
class Store {
  large(n: number): void {
    for (let i = 0; i < n; i++) p.mem.alloc(4096);
  }
}
small(1000);
new Store().large(100);
for (let i = 0; i < 500; i++) p.mem.free(tokens[i]!, 16);
const [, , dir] = process.argv;
await p.lookup("heap")!.writeFile(dir + "/heap.pprof");
await p.lookup("allocs")!.writeFile(dir + "/allocs.pprof");
await p.lookup("heap")!.writeFile(dir + "/heap.txt", 1);
`;
const lineIn = (source: string, text: string): number =>
  source.slice(0, source.indexOf(text)).split("\n").length;

// Go's own tool must read our files. pprof/*.test.ts test their content.
describe.skipIf(go === null)("go tool pprof on our heap profile", () => {
  const app = program({ "main.ts": heapSource });
  afterAll(() => app.remove());
  const heap = join(app.dir, "heap.pprof");
  const { status, stderr } = app.run(app.dir);

  it("finds the two sites with TypeScript lines and exact totals", () => {
    expect(stderr).toBe("");
    expect(status).toBe(0);
    const top = pprof(go!, "-top", "-lines", "-unit=B", heap);
    expect(top).toMatch(/^Type: inuse_space$/m);
    const large = lineIn(heapSource, "p.mem.alloc(4096)");
    expect(top).toMatch(new RegExp(`409600B .*main\\.\\(\\*Store\\)\\.large .*main\\.ts:${large}`));
    const small = lineIn(heapSource, "tokens.push(");
    expect(top).toMatch(new RegExp(`8000B .*main\\.small .*main\\.ts:${small}`));
    expect(top).toMatch(/417600B total/);
    const objects = pprof(go!, "-top", "-sample_index=alloc_objects", heap);
    expect(objects).toMatch(/1000 .*main\.small/);
  });

  it("shows allocated bytes first for allocs", () => {
    const top = pprof(go!, "-top", "-unit=B", join(app.dir, "allocs.pprof"));
    expect(top).toMatch(/^Type: alloc_space$/m);
    expect(top).toMatch(/16000B .*main\.small/);
  });

  it("reads the header as Go writes it", () => {
    const raw = pprof(go!, "-raw", heap);
    expect(raw).toMatch(/^PeriodType: space bytes$/m);
    expect(raw).toMatch(/^Period: 1$/m);
    expect(raw).toMatch(/alloc_objects\/count alloc_space\/bytes inuse_objects\/count inuse_space\/bytes/);
    expect(raw).toMatch(/bytes:\[16\]/);
    expect(raw).toMatch(/\[FN\]/);
    expect(raw).not.toMatch(/runtime\./);
  });

  it("reads the text form as well", () => {
    const top = pprof(go!, "-top", "-unit=B", join(app.dir, "heap.txt"));
    expect(top).toMatch(/417600B total/);
  });

  it("lists the annotated TypeScript", () => {
    const list = pprof(go!, "-list", "large", "-unit=B", heap);
    expect(list).toMatch(/409600B +409600B .*for \(let i = 0; i < n; i\+\+\) p\.mem\.alloc\(4096\)/);
  });

  it("serves it as a web page", async () => {
    expect(await webPage(heap)).toContain("main.(*Store).large");
  });
});

/** The flame graph's page that `go tool pprof -http` shows of a profile. */
async function webPage(file: string): Promise<string> {
  const port = await freePort();
  const server = spawn(pprofTool(go!), [`-http=localhost:${port}`, "-no_browser", file], { stdio: "ignore" });
  try {
    return await fetchWhenUp(`http://localhost:${port}/ui/flamegraph`);
  } finally {
    server.kill();
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function fetchWhenUp(url: string): Promise<string> {
  for (let tries = 0; ; tries++) {
    try {
      return await (await fetch(url)).text();
    } catch (error) {
      if (tries === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

describe.skipIf(go === null)("go tool pprof on all profiles of a program", () => {
  const app = program({
    "main.ts": `
import { createProfiler, type Profiler } from "@gort/profiling";
const stack = [
  { func: "runtime.gopark", file: "proc.ts", line: 3 },
  { func: "main.waitHere", file: "main.ts", line: 30 },
];
const source = (n: number) => ({ forEach: (visit: (s: typeof stack, l?: Map<string, string>) => void) => {
  for (let i = 0; i < n; i++) visit(stack, new Map([["job", "x"]]));
} });
const p: Profiler = createProfiler({
  memProfileRate: 1, goroutines: source(3), leakedGoroutines: source(2), threads: source(4),
});
p.setBlockProfileRate(1);
p.setMutexProfileFraction(1);
function allocates(): void { p.mem.free(p.mem.alloc(1024), 1024); p.mem.alloc(512); }
function waits(): void { p.block.record(5_000_000); }
function unlocks(): void { p.mutex.record(7_000_000); }
allocates(); waits(); unlocks();
const files = p.newProfile("app.files");
function open(): void { files.add({}); }
open(); open();
for (const profile of p.profiles()) {
  await profile.writeFile(process.argv[2] + "/" + profile.name());
  await profile.writeFile(process.argv[2] + "/" + profile.name() + ".txt", 1);
}
console.log(p.profiles().map((x) => x.name()).join(" "));
`,
  });
  afterAll(() => app.remove());
  const { stdout, stderr } = app.run(app.dir);
  const path = (name: string) => join(app.dir, name);

  interface Known {
    type: string;
    total: string;
    /** The function that all is charged to. */
    func: string;
    /** Options that choose the unit. */
    args?: string[];
    /** A line of -raw's samples. */
    raw: RegExp;
    /** The total of the text form, where Go's tool reads it. */
    text?: string;
  }
  const table: Record<string, Known> = {
    heap: {
      type: "inuse_space",
      total: "512B",
      func: "main.allocates",
      args: ["-unit=B"],
      raw: /^ +1 +512 +1 +512: /m,
      text: "512B",
    },
    allocs: {
      type: "alloc_space",
      total: "1536B",
      func: "main.allocates",
      args: ["-unit=B"],
      raw: /^ +1 +1024 +0 +0: /m,
      text: "512B",
    },
    block: { type: "delay", total: "5ms", func: "main.waits", raw: /^ +1 +5000000: /m, text: "5ms" },
    mutex: { type: "delay", total: "7ms", func: "main.unlocks", raw: /^ +1 +7000000: /m, text: "7ms" },
    goroutine: {
      type: "goroutine",
      total: "3",
      func: "main.waitHere",
      raw: /^ +3: [\s\S]*job:\[x\]/m,
      text: "3",
    },
    goroutineleak: {
      type: "goroutineleak",
      total: "2",
      func: "main.waitHere",
      raw: /^ +2: [\s\S]*job:\[x\]/m,
    },
    threadcreate: { type: "threadcreate", total: "4", func: "main.waitHere", raw: /^ +4: /m, text: "4" },
    "app.files": { type: "app.files", total: "2", func: "main.open", raw: /^ +2: /m },
  };

  it("has a row for each of them", () => {
    expect(stderr).toBe("");
    expect(stdout.trim().split(" ")).toEqual(Object.keys(table).sort());
  });

  it.each(Object.entries(table))("reads %s", (name, { type, total, func, args = [], raw, text }) => {
    const top = pprof(go!, "-top", "-cum", ...args, path(name));
    expect(top).toMatch(new RegExp(`^Type: ${type}$`, "m"));
    expect(top).toMatch(new RegExp(` of ${total} total$`, "m"));
    const shown = top.split("\n").find((line) => line.endsWith(func))!;
    expect(shown.trim().split(/ +/).slice(3, 5)).toEqual([total, "100%"]);
    const listed = pprof(go!, "-raw", path(name));
    expect(listed).toMatch(raw);
    expect(listed).toMatch(new RegExp(`Locations\\n[\\s\\S]*${func.replace(".", "\\.")} `));
    if (text !== undefined) {
      // Addresses without names: of these the total is what can be read.
      expect(pprof(go!, "-top", ...args, path(`${name}.txt`))).toMatch(new RegExp(` of ${text} total`));
    }
  });

  it("shows each as a web page", async () => {
    const pages = Object.entries(table).map(async ([name, { func }]) => {
      expect(await webPage(path(name)), name).toContain(func);
    });
    await Promise.all(pages);
  });

  it("shows the labels of goroutines", () => {
    for (const [name, n] of [
      ["goroutine", 3],
      ["goroutineleak", 2],
    ] as const) {
      expect(pprof(go!, "-tags", path(name))).toMatch(new RegExp(`job: Total ${n}`));
    }
  });
});

describe.skipIf(go === null)("go tool pprof on V8's profiles", () => {
  const source = `
import { writeFileSync } from "node:fs";
import { lookup, startCPUProfile, startEventLoopProfile, startV8HeapProfile, stopCPUProfile } from "@gort/profiling";
const kept: number[][] = [];
function keep(n: number): void { for (let i = 0; i < n; i++) kept.push(new Array<number>(100).fill(i)); }
function burn(ms: number): void { for (const end = performance.now() + ms; performance.now() < end; ); }
const [, , dir] = process.argv;
startV8HeapProfile({ intervalBytes: 4096 });
startEventLoopProfile({ rate: 1_000_000 });
startCPUProfile((bytes) => writeFileSync(dir + "/cpu.pprof", bytes));
keep(20_000);
setTimeout(() => burn(60), 1);
await new Promise((resolve) => setTimeout(resolve, 150));
await stopCPUProfile();
await lookup("v8heap")!.writeFile(dir + "/v8heap.pprof");
await lookup("eventloop")!.writeFile(dir + "/eventloop.pprof");
console.log(kept.length);
process.exit(0);
`;
  const app = program({ "main.ts": source });
  afterAll(() => app.remove());

  it("reads the heap, the event loop and the CPU", async () => {
    const { status, stderr } = app.run(app.dir);
    expect([status, stderr]).toEqual([0, ""]);
    expect(pprof(go!, "-top", join(app.dir, "v8heap.pprof"))).toMatch(/main\.keep/);
    expect(pprof(go!, "-traces", join(app.dir, "eventloop.pprof"))).toMatch(/main\./);
    expect(pprof(go!, "-top", join(app.dir, "cpu.pprof"))).toMatch(/main\.burn/);
    const names = ["v8heap", "eventloop", "cpu"];
    for (const name of names) expect(pprof(go!, "-raw", join(app.dir, `${name}.pprof`))).toMatch(/main\.\w+/);
    const pages = await Promise.all(names.map((name) => webPage(join(app.dir, `${name}.pprof`))));
    for (const page of pages) expect(page).toMatch(/main\.\w+/);
  });
});
