import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, describe, expect, it, vi } from "vitest";

/** As in a program that has just begun. */
async function collector(): Promise<(() => void) | null> {
  vi.resetModules();
  const { hostCollector } = await import("../src/hostgc.ts");
  return hostCollector();
}

describe("hostCollector", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    setFlagsFromString("--no-expose-gc");
  });

  it("is V8's in Node, where new contexts of the program do not have it", async () => {
    expect(String(await collector())).toBe("function gc() { [native code] }");
    expect(runInNewContext("typeof gc")).toBe("undefined");
  });

  it("leaves the flag of a process that was started with it", async () => {
    setFlagsFromString("--expose-gc");
    expect(await collector()).not.toBe(null);
    expect(runInNewContext("typeof gc")).toBe("function");
  });

  it("tries again when another thread has cleared the flag in between", async () => {
    const [v8, vm] = [process.getBuiltinModule("node:v8"), process.getBuiltinModule("node:vm")];
    let raced = true;
    const slow = {
      ...vm,
      runInNewContext(code: string): unknown {
        if (raced) v8.setFlagsFromString("--no-expose-gc");
        return vm.runInNewContext(code);
      },
    };
    vi.stubGlobal("process", { getBuiltinModule: (id: string) => (id === "node:vm" ? slow : v8) });
    vi.resetModules();
    const { hostCollector } = await import("../src/hostgc.ts");
    expect(hostCollector()).toBe(null);
    raced = false;
    expect(hostCollector()).not.toBe(null);
  });

  it("takes the host's own gc, and no function of the program that has the name", async () => {
    vi.stubGlobal("process", undefined);
    expect(await collector()).toBe(null);
    const own = vi.fn();
    vi.stubGlobal("gc", () => own());
    expect(await collector()).toBe(null);
    const native = Math.random.bind(Math);
    vi.stubGlobal("gc", native);
    expect(await collector()).toBe(native);
    expect(own).not.toHaveBeenCalled();
  });

  it("is null where the host has no such modules, or forbids flags", async () => {
    vi.stubGlobal("process", { getBuiltinModule: () => undefined });
    expect(await collector()).toBe(null);
    vi.stubGlobal("process", {
      getBuiltinModule() {
        throw new Error("forbidden");
      },
    });
    expect(await collector()).toBe(null);
  });
});
