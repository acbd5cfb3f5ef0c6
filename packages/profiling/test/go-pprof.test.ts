import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type Program, program } from "./support/build.ts";
import { findGo, pprof, pprofTool } from "./support/go.ts";

const go = findGo();
// Skips without Go: what is tested is that Go's own tool accepts our files.
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

// Skip without Go: what is tested is that Go's own tool reads our files. What they hold is tested in pprof.test.ts.
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

describe.skipIf(go === null)("go tool pprof on all other profiles", () => {
  const apps: Program[] = [];
  afterAll(() => {
    for (const a of apps) a.remove();
  });

  it("reads each, with its types, frames and labels", async () => {
    const app = program({
      "main.ts": `
import { createProfiler, type Profiler } from "@gort/profiling";
const stack = [
  { func: "runtime.gopark", file: "proc.ts", line: 3 },
  { func: "main.waitHere", file: "main.ts", line: 30 },
];
const source = { forEach: (visit: (s: typeof stack, l?: Map<string, string>) => void) => {
  for (let i = 0; i < 3; i++) visit(stack, new Map([["job", "x"]]));
} };
const p: Profiler = createProfiler({ goroutines: source, leakedGoroutines: source, threads: source });
p.setBlockProfileRate(1);
p.setMutexProfileFraction(1);
function waits(): void { p.block.record(5_000_000); }
function unlocks(): void { p.mutex.record(7_000_000); }
waits(); unlocks();
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
    apps.push(app);
    const { stdout, stderr } = app.run(app.dir);
    expect(stderr).toBe("");
    expect(stdout).toBe("allocs app.files block goroutine goroutineleak heap mutex threadcreate\n");
    const top = (name: string, ...args: string[]) => pprof(go!, "-top", ...args, join(app.dir, name));
    expect(top("block")).toMatch(/^Type: delay\n[\s\S]* 5ms .*main\.waits/m);
    expect(top("mutex", "-sample_index=contentions")).toMatch(/ 1 .*main\.unlocks/);
    for (const name of ["goroutine", "goroutineleak", "threadcreate"]) {
      expect(top(name)).toMatch(new RegExp(`^Type: ${name}\n[\\s\\S]* 3 .*runtime\\.gopark`, "m"));
      expect(pprof(go!, "-tags", join(app.dir, name))).toMatch(/job: Total 3/);
    }
    expect(top("app.files")).toMatch(/ 2 .*runtime\/pprof\.\(\*Profile\)\.Add/);
    expect(top("app.files", "-cum")).toMatch(/main\.open/);
    const pages = { block: "waits", mutex: "unlocks", goroutine: "waitHere", "app.files": "open" };
    for (const [name, func] of Object.entries(pages)) {
      expect(pprof(go!, "-raw", join(app.dir, name))).toMatch(
        new RegExp(`Locations\\n[\\s\\S]*main\\.${func} `),
      );
    }
    const shown = Object.entries(pages).map(async ([name, func]) => {
      expect(await webPage(join(app.dir, name))).toContain(`main.${func}`);
    });
    await Promise.all(shown);
    // Go's tool also reads the text forms, which carry addresses and no names.
    for (const name of ["goroutine", "threadcreate"]) expect(top(`${name}.txt`)).toMatch(/ of 3 total/);
    expect(top("block.txt")).toMatch(/ of 5ms total/);
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
