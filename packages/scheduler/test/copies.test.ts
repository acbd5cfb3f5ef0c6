import { describe, expect, it, vi } from "vitest";
import * as a from "../src/index.ts";
import { Mutex } from "../src/sync/index.ts";

/** Another copy of the package, as a program gets it when two versions are installed. */
async function anotherCopy() {
  vi.resetModules();
  const b = await import("../src/index.ts");
  const sync = await import("../src/sync/index.ts");
  expect(b.makeChan).not.toBe(a.makeChan);
  expect(sync.Mutex).not.toBe(Mutex);
  return { ...b, Mutex: sync.Mutex };
}

describe("two copies of the package in one program", () => {
  const fault = "belongs to another copy of @gort/scheduler: install one version, and bundle it once";

  it("throw an error that says so when a goroutine of one uses an object of the other", async () => {
    const b = await anotherCopy();
    const mu = new b.Mutex();
    const c = b.makeChan<number>();
    const uses: Record<string, () => unknown> = {
      sleep: () => b.sleep(1),
      gosched: () => b.gosched(),
      recv: () => c.recv(),
      send: () => c.send(1),
      select: () => b.select([b.recvCase(c)]),
      lock: () => mu.lock(),
      syscall: () => b.syscall(Promise.resolve(1)),
      "foreign channel": () => a.select([a.recvCase(c)]),
      "foreign case": () => a.select([b.recvCase(c) as never, a.defaultCase]),
      defer: () => b.defer(() => {}),
      goexit: () => b.goexit(),
    };
    const s = a.createScheduler();
    const said = await s.main(function* () {
      const out: Record<string, string> = {};
      for (const [name, use] of Object.entries(uses)) {
        try {
          const op = use() as a.Operation<unknown> | undefined;
          if (op !== undefined) yield* op;
          out[name] = "nothing";
        } catch (e) {
          out[name] = String(e);
        }
      }
      return out;
    });
    for (const name of Object.keys(uses)) expect(said[name], name).toContain(fault);
    s.close();
  });
});
