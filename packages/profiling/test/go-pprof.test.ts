import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { program } from "./support/build.ts";
import { findGo, pprof } from "./support/go.ts";

const go = findGo();
// Skips without Go: what is tested is that Go's own tool accepts our files.
if (go === null) console.log("go tool pprof: no Go toolchain (GO, or go in PATH); its tests are skipped");

const source = `
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
await p.lookup("heap")!.writeFile(process.argv[2]!);
await p.lookup("allocs")!.writeFile(process.argv[3]!);
await p.lookup("heap")!.writeFile(process.argv[4]!, 1);
`;
const lineOf = (text: string): number => source.slice(0, source.indexOf(text)).split("\n").length;

describe.skipIf(go === null)("go tool pprof on our heap profile", () => {
  const app = program({ "main.ts": source });
  afterAll(() => app.remove());
  const heap = join(app.dir, "heap.pprof");
  const allocs = join(app.dir, "allocs.pprof");
  const text = join(app.dir, "heap.txt");
  const { status, stderr } = app.run(heap, allocs, text);

  it("finds the two sites with TypeScript lines and exact totals", () => {
    expect(stderr).toBe("");
    expect(status).toBe(0);
    const top = pprof(go!, "-top", "-lines", "-unit=B", heap);
    expect(top).toMatch(/^Type: inuse_space$/m);
    expect(top).toMatch(
      new RegExp(`409600B .*main\\.\\(\\*Store\\)\\.large .*main\\.ts:${lineOf("p.mem.alloc(4096)")}`),
    );
    expect(top).toMatch(new RegExp(`8000B .*main\\.small .*main\\.ts:${lineOf("tokens.push(")}`));
    expect(top).toMatch(/417600B total/);
    const objects = pprof(go!, "-top", "-sample_index=alloc_objects", heap);
    expect(objects).toMatch(/1000 .*main\.small/);
  });

  it("shows allocated bytes first for allocs", () => {
    const top = pprof(go!, "-top", "-unit=B", allocs);
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
    const top = pprof(go!, "-top", "-unit=B", text);
    expect(top).toMatch(/417600B total/);
  });
});
