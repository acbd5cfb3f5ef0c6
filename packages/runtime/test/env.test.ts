import { parseGodebug as parseSchedulerGodebug } from "@gort/scheduler/internal";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { noMemoryLimit, parseGOGC, parseGOMAXPROCS, parseMemoryLimit } from "../src/env.ts";
import { debugSwitches, defaultGodebug, parseGodebug } from "../src/godebug.ts";

describe("GOGC", () => {
  it("reads a percentage, off, and takes 100 for anything else, as Go does", () => {
    const cases: [string | undefined, number][] = [
      [undefined, 100],
      ["", 100],
      ["50", 50],
      ["0", 0],
      ["off", -1],
      ["-5", -1],
      ["OFF", 100],
      ["1e3", 100],
      [" 50", 100],
      ["99999999999", 100],
    ];
    for (const [text, want] of cases) expect([text, parseGOGC(text)]).toEqual([text, want]);
  });
});

describe("GOMEMLIMIT", () => {
  it("reads bytes with Go's units, and says undefined for what Go calls malformed", () => {
    const cases: [string | undefined, number | undefined][] = [
      [undefined, noMemoryLimit],
      ["", noMemoryLimit],
      ["off", noMemoryLimit],
      ["0", 0],
      ["100", 100],
      ["100B", 100],
      ["1KiB", 1024],
      ["3MiB", 3 * 2 ** 20],
      ["2GiB", 2 ** 31],
      ["1TiB", 2 ** 40],
      ["1MB", undefined],
      ["-1", undefined],
      ["1.5GiB", undefined],
      ["GiB", undefined],
      ["99999999999TiB", undefined],
    ];
    for (const [text, want] of cases) expect([text, parseMemoryLimit(text)]).toEqual([text, want]);
  });
});

describe("GOMAXPROCS", () => {
  it("ignores a value that is no positive integer", () => {
    for (const text of [undefined, "", "0", "-2", "x", "1.5"]) expect(parseGOMAXPROCS(text)).toBeUndefined();
    expect(parseGOMAXPROCS("3")).toBe(3);
  });
});

describe("GODEBUG", () => {
  it("is read alike by a scheduler on its own", () => {
    const name = fc.constantFrom(
      "schedtrace",
      "scheddetail",
      "sysmon",
      " schedtrace ",
      "gctrace",
      "",
      "SYSMON",
    );
    const value = fc.constantFrom(
      "1",
      "0",
      "-3",
      "+7",
      " 5 ",
      "1000",
      "1.5",
      "x",
      "",
      "1=2",
      "1e3",
      "0x10",
      "9".repeat(20),
    );
    const item = fc.oneof(
      fc.tuple(name, value).map(([n, v]) => `${n}=${v}`),
      name,
    );
    fc.assert(
      fc.property(fc.array(item, { maxLength: 6 }), (items) => {
        const text = items.join(",");
        const own = parseSchedulerGodebug(text);
        const all = parseGodebug(text, () => {});
        expect(all).toMatchObject(own);
        expect(parseSchedulerGodebug(all)).toEqual(own);
      }),
    );
  });

  it("gives every switch its default, and the last value where a name stands twice", () => {
    expect(parseGodebug("", () => {})).toEqual(defaultGodebug());
    const g = parseGodebug("gctrace=1,,gctrace=2,invalidptr=0", () => {});
    expect(g.gctrace).toBe(2);
    expect(g.invalidptr).toBe(0);
    expect(g.schedtrace).toBe(0);
  });

  it("says once that a name is unknown, and says what is wrong with a value", () => {
    const lines: string[] = [];
    const g = parseGodebug("gctrase=1,gctrase=1,gctrace=yes", (l) => lines.push(l));
    expect(g.gctrace).toBe(0);
    expect(lines).toEqual([
      'GODEBUG: unknown switch "gctrase" is ignored',
      'GODEBUG: gctrace needs an integer (got "yes"); 0 is kept',
    ]);
  });

  it("describes every switch", () => {
    for (const s of debugSwitches) expect(s.meaning.length).toBeGreaterThan(10);
  });
});
