import { afterEach, describe, expect, it } from "vitest";
import { createRuntime, type Runtime } from "../src/index.ts";

const open: Runtime[] = [];
let printed = "";
function make(godebug: string): Runtime {
  const rt = createRuntime({
    maxMemory: 512 << 20,
    godebug,
    stderr: (text) => void (printed += text),
    gogc: 100,
  });
  open.push(rt);
  return rt;
}
afterEach(() => {
  for (const rt of open.splice(0)) rt.close();
  printed = "";
});

const probe = createRuntime({ maxMemory: 64 << 20, godebug: "" });
const { canRelease } = probe.memory;
probe.close();

describe("the scavenger", () => {
  // Where the platform can't return pages (no koffi, a browser) there is nothing to give.
  it.skipIf(!canRelease)(
    "gives memory back in the background when the heap has shrunk for good",
    async () => {
      const rt = make("");
      const slots = Array.from({ length: 100 }, () => rt.unsafe.newRoot(rt.unsafe.mallocgc(1 << 20)));
      rt.gc();
      const before = rt.readMemStats().HeapReleased;
      for (const slot of slots) rt.unsafe.freeRoot(slot);
      rt.gc();
      rt.gc();
      const deadline = Date.now() + 20_000;
      while (rt.readMemStats().HeapReleased < before + (60 << 20) && Date.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      const m = rt.readMemStats();
      expect(m.HeapReleased).toBeGreaterThanOrEqual(before + (60 << 20));
      expect(m.HeapReleased).toBeLessThanOrEqual(m.HeapIdle);
    },
  );

  it("prints scavtrace lines, and a forced one for freeOSMemory", () => {
    const rt = make("scavtrace=1");
    rt.gc();
    rt.freeOSMemory();
    const lines = printed.trim().split("\n");
    const line = /^scav \d+ KiB work \(bg\), \d+ KiB work \(eager\), \d+ KiB now, \d+% util( \(forced\))?$/;
    for (const l of lines) expect(l).toMatch(line);
    expect(lines.at(-1)).toMatch(/ \(forced\)$/);
    expect(lines.length).toBeGreaterThanOrEqual(3);
  });
});
