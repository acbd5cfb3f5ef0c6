import { gunzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";
import { BlockProfileRecord, createRuntime, type Runtime, StackRecord } from "../src/index.ts";

const open: Runtime[] = [];
function make(): Runtime {
  const rt = createRuntime({ maxMemory: 64 << 20, godebug: "", stderr: () => {} });
  open.push(rt);
  return rt;
}
afterEach(() => {
  for (const rt of open.splice(0)) rt.close();
});

async function text(rt: Runtime, name: string, debug: number): Promise<string> {
  let out = "";
  await rt.profiler.lookup(name)!.writeTo((bytes) => {
    out += new TextDecoder().decode(debug === 0 ? gunzipSync(bytes) : bytes);
  }, debug);
  return out;
}

describe("the goroutine profile", () => {
  it("shows every goroutine once, with its stack and its labels", async () => {
    const rt = make();
    await rt.main(function* () {
      const never = rt.makeChan<number>();
      function* waits() {
        yield* never.recv();
      }
      rt.profiler.setGoroutineLabels({ job: "test" });
      for (let i = 0; i < 20; i++) rt.go(waits);
      yield* rt.gosched();
      expect(rt.goroutineProfile(null)).toEqual({ n: 21, ok: false });
      const records = Array.from({ length: 21 }, () => new StackRecord());
      expect(rt.goroutineProfile(records)).toEqual({ n: 21, ok: true });
      const waiting = records.filter((r) =>
        [...rt.callersFrames(r.stack())].some((f) => f.Function.includes("waits")),
      );
      expect(waiting).toHaveLength(20);
      const grouped = (yield* rt.syscall(text(rt, "goroutine", 1))).split("\n");
      expect(grouped[0]).toBe("goroutine profile: total 21");
      expect(grouped[1]).toMatch(/^20 @ 0x/);
      expect(grouped[2]).toBe('# labels: {"job":"test"}');
    });
  });
});

describe("the block profile", () => {
  it("charges the time of a wait to the place that waits", async () => {
    const rt = make();
    rt.setBlockProfileRate(1);
    await rt.main(function* () {
      const c = rt.makeChan<number>();
      function* slowSender() {
        for (let i = 0; i < 3; i++) {
          yield* rt.sleep(5);
          yield* c.send(i);
        }
      }
      function* impatientReceiver() {
        for (let i = 0; i < 3; i++) yield* c.recv();
      }
      rt.go(slowSender);
      yield* rt.go(impatientReceiver).done();
    });
    const { n } = rt.blockProfile(null);
    const records = Array.from({ length: n }, () => new BlockProfileRecord());
    expect(rt.blockProfile(records).ok).toBe(true);
    const receiver = records.filter((r) =>
      [...rt.callersFrames(r.stack())].some((f) => f.Function.includes("impatientReceiver")),
    );
    expect(receiver.reduce((sum, r) => sum + r.Count, 0)).toBe(3);
    expect(receiver.reduce((sum, r) => sum + r.Cycles, 0)).toBeGreaterThan(10e6);
  });

  it("records nothing at rate 0", async () => {
    const rt = make();
    await rt.main(function* () {
      yield* rt.sleep(1);
    });
    expect(rt.blockProfile(null)).toEqual({ n: 0, ok: true });
  });
});
