import { afterEach, describe, expect, it } from "vitest";
import { createRuntime, type Runtime } from "../src/index.ts";
import { closeAfterTest } from "./kit.ts";
import { run } from "./threads/run.ts";

let printed = "";
function make(godebug: string, gogc: number | "off" = 100, memoryLimit = 2 ** 63): Runtime {
  const rt = createRuntime({
    maxMemory: 512 << 20,
    godebug,
    stderr: (text) => void (printed += text),
    gogc,
    memoryLimit,
  });
  closeAfterTest(rt);
  return rt;
}
afterEach(() => {
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

  /** Makes 120 MiB of memory that is free and still mapped. */
  function spike(rt: Runtime): void {
    const slots = Array.from({ length: 120 }, () => rt.unsafe.newRoot(rt.unsafe.mallocgc(1 << 20)));
    for (const slot of slots) rt.unsafe.freeRoot(slot);
  }
  const mapped = (rt: Runtime): number => {
    const m = rt.readMemStats();
    return m.Sys - m.HeapReleased;
  };

  // Go 1.27, SetGCPercent(-1) and SetMemoryLimit(64 << 20): 124.5 MiB are mapped after the spike, 48 to 63 at the next
  // reading.
  it.skipIf(!canRelease)(
    "has the heap under its memory limit with the allocations that follow a spike",
    () => {
      const rt = make("", "off", 64 << 20);
      spike(rt);
      expect(mapped(rt)).toBeGreaterThan(120 << 20);
      for (let k = 0; k < 100; k++) {
        rt.unsafe.mallocgc(1 << 20);
        rt.safepoint();
      }
      expect(mapped(rt)).toBeLessThanOrEqual(64 << 20);
      // From now on it stays there, however much is allocated.
      for (let k = 0; k < 300; k++) {
        rt.unsafe.mallocgc(1 << 20);
        rt.safepoint();
        expect(mapped(rt)).toBeLessThanOrEqual(64 << 20);
      }
    },
  );

  // Go brings such a program to 4.5 MiB within half a second, because in Go a new limit leads to a collection.
  it.skipIf(!canRelease)("keeps to a limit that is lowered in a program that does nothing more", async () => {
    const rt = make("", "off");
    spike(rt);
    rt.gc();
    expect(mapped(rt)).toBeGreaterThan(120 << 20);
    rt.collector.setMemoryLimit(64 << 20);
    const deadline = Date.now() + 20_000;
    while (mapped(rt) > 61 << 20 && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(mapped(rt)).toBeLessThanOrEqual(61 << 20);
  });

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

  // As above: without koffi no thread can return pages.
  it.skipIf(!canRelease).each([
    ["in the background", "gogc"],
    ["over the memory limit", "limit"],
    ["by freeOSMemory on the worker", "force"],
  ])("gives back what a worker frees while a goroutine keeps M 0 from its event loop: %s", async (_, how) => {
    expect(await run(["scavenge.mjs", how])).toEqual({ code: 0, out: "returned true\n", err: "" });
  });
});
