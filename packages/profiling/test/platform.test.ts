import { afterAll, describe, expect, it } from "vitest";
import { type Program, program } from "./support/build.ts";

describe("without Node's modules", () => {
  let app: Program | undefined;
  afterAll(() => app?.remove());

  it("still tells callers, samples memory, writes and reads profiles, and refuses the rest clearly", () => {
    // As in a browser: no process, so no built-in module, no files, no inspector.
    app = program({
      "main.js": `
const { log } = console;
delete globalThis.process;
delete globalThis.Buffer;
const { caller, createProfiler, do: withLabels, funcForPC, goroutineLabels, startCPUProfile, startV8HeapProfile } =
  await import("@gort/profiling");
const { decodeProfile, functionTotals } = await import("@gort/profiling/pprof");
const refused = (f) => { try { f(); return ""; } catch (e) { return e.message; } };
function here() { return caller(0); }
const at = here();
const p = createProfiler({ memProfileRate: 1 });
for (let i = 0; i < 3; i++) p.mem.alloc(100);
const bytes = await p.lookup("heap").encode();
const profile = await decodeProfile(bytes);
let damaged = "";
try { await decodeProfile(bytes.subarray(0, 15)); } catch (e) { damaged = e.message; }
log(JSON.stringify({
  line: at.line,
  name: funcForPC(at.pc).name(),
  packed: [bytes[0], bytes[1]],
  total: functionTotals(profile)[0].flat,
  damaged,
  label: withLabels({ a: "b" }, () => goroutineLabels().get("a")),
  cpu: refused(() => startCPUProfile(() => {})),
  v8: refused(() => startV8HeapProfile()),
  file: await p.lookup("heap").writeFile("x").catch((e) => e.message),
}));
`,
    });
    const out = app.json<Record<string, unknown>>();
    expect(out).toMatchObject({
      line: 9,
      packed: [0x1f, 0x8b],
      total: 300,
      damaged: expect.stringMatching(/^pprof: offset 0: gzip: /),
      label: "b",
      cpu: "profiling: this platform has no inspector to profile with",
      v8: "profiling: this platform has no inspector to profile with",
      file: "profiling: this platform has no files to write to",
    });
    expect(out.name).toMatch(/\.here$/);
  });
});
