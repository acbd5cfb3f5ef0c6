import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { debugSwitches } from "../src/godebug.ts";
import { createRuntime, type Runtime, type RuntimeOptions } from "../src/index.ts";
import { newSample } from "../src/metrics.ts";
import { closeAfterTest } from "./kit.ts";

const names = ["GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG"] as const;
const saved = new Map<string, string | undefined>();
let printed = "";

beforeEach(() => {
  for (const name of names) {
    saved.set(name, process.env[name]);
    delete process.env[name];
  }
});

afterEach(() => {
  for (const [name, value] of saved) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  printed = "";
});

function make(options: RuntimeOptions = {}): Runtime {
  const rt = createRuntime({
    maxMemory: 64 << 20,
    stderr: (text) => {
      printed += text;
    },
    ...options,
  });
  closeAfterTest(rt);
  return rt;
}

/** The settings in force, as a program sees them. */
function inForce(rt: Runtime): Record<string, number> {
  const samples = ["/gc/gogc:percent", "/gc/gomemlimit:bytes", "/sched/gomaxprocs:threads"].map(newSample);
  rt.metrics.read(samples);
  const [gogc, limit, procs] = samples.map((s) => s.Value.uint64());
  return { gogc: gogc, limit: limit, procs: procs, gctrace: rt.godebug.gctrace };
}

describe("settings", () => {
  it("are Go's defaults if neither option nor environment sets them", () => {
    expect(inForce(make())).toEqual({ gogc: 100, limit: 2 ** 63, procs: 1, gctrace: 0 });
    expect(printed).toBe("");
  });

  it("come from the environment", () => {
    Object.assign(process.env, { GOGC: "50", GOMEMLIMIT: "32MiB", GOMAXPROCS: "2", GODEBUG: "gctrace=1" });
    expect(inForce(make())).toEqual({ gogc: 50, limit: 32 << 20, procs: 2, gctrace: 1 });
  });

  it("of options come before the environment's, each by itself", () => {
    Object.assign(process.env, { GOGC: "50", GOMEMLIMIT: "32MiB", GOMAXPROCS: "2", GODEBUG: "gctrace=1" });
    expect(inForce(make({ gogc: 300 }))).toEqual({ gogc: 300, limit: 32 << 20, procs: 2, gctrace: 1 });
    expect(inForce(make({ memoryLimit: 48 << 20 })).limit).toBe(48 << 20);
    expect(inForce(make({ gomaxprocs: 4 })).procs).toBe(4);
    expect(inForce(make({ gogc: "off" })).gogc).toBe(2 ** 64);
    // GODEBUG is one setting: an option replaces all of it.
    expect(inForce(make({ godebug: "" })).gctrace).toBe(0);
    expect(inForce(make({ godebug: { schedtrace: 0 } })).gctrace).toBe(0);
    expect(inForce(make({ godebug: { gctrace: 2 } })).gctrace).toBe(2);
  });

  it("of the environment that don't parse leave the defaults, with Go's words where Go has some", () => {
    Object.assign(process.env, {
      GOGC: "lots",
      GOMEMLIMIT: "32MB",
      GOMAXPROCS: "-3",
      GODEBUG: "gctrace=yes",
    });
    expect(inForce(make())).toEqual({ gogc: 100, limit: 2 ** 63, procs: 1, gctrace: 0 });
    expect(printed).toContain(
      "GOMEMLIMIT=32MB\nmalformed GOMEMLIMIT; see `go doc runtime/debug.SetMemoryLimit`",
    );
    expect(printed).toContain('GODEBUG: gctrace needs an integer (got "yes"); 0 is kept');
  });

  it("name an unknown switch of GODEBUG once", () => {
    process.env.GODEBUG = "gctrace=0,nosuchswitch=1,nosuchswitch=2";
    make();
    make();
    expect(printed.match(/nosuchswitch/g)).toEqual(["nosuchswitch"]);
  });

  it("of options are refused if they make no sense", () => {
    const cases: [RuntimeOptions, RegExp][] = [
      [{ gogc: "often" as never }, /gogc must be a whole number of percent or "off"/],
      [{ gogc: Number.NaN }, /gogc must be/],
      [{ memoryLimit: -1 }, /memoryLimit must be a whole number of bytes, 0 or more, or Infinity \(got -1\)/],
      [{ memoryLimit: Number.NaN }, /memoryLimit must be/],
      [{ gomaxprocs: 1.5 }, /gomaxprocs must be a whole number from 1 \(got 1.5\)/],
      [{ godebug: { gctrase: 1 } as never }, /godebug has no switch "gctrase"/],
      [{ godebug: { gctrace: "1" } as never }, /godebug.gctrace must be an integer \(got 1\)/],
      [{ godebug: 7 as never }, /godebug must be a string or an object/],
    ];
    for (const [options, message] of cases) expect(() => make(options)).toThrow(message);
  });
});

describe("the table of debug switches", () => {
  it("names each switch once, with a default and what it does", () => {
    const all = debugSwitches.map((s) => s.name);
    expect(new Set(all).size).toBe(all.length);
    const rt = make({ godebug: "" });
    for (const s of debugSwitches) {
      expect(rt.godebug[s.name]).toBe(s.default);
      expect(s.meaning).toMatch(/\w{3}/);
    }
    expect(Object.keys(rt.godebug).sort()).toEqual([...all].sort());
  });

  it("is the rows of the packages that have the switches, and the facade's own", async () => {
    const { GODEBUG_SWITCHES } = await import("@gort/gc");
    const { debugSwitches: scheduler } = await import("@gort/scheduler/internal");
    const own = ["hostgc", "memprofilerate", "scavtrace"];
    const rest = debugSwitches.filter((s) => !own.includes(s.name));
    expect(rest).toEqual([...GODEBUG_SWITCHES, ...scheduler]);
  });
});
