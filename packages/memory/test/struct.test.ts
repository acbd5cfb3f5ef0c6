import { setFlagsFromString } from "node:v8";
import { describe, expect, it } from "vitest";
import { createLinearMemory, defineStruct, f64s, u32s } from "../src/index.ts";
import { dumpStruct } from "../src/testing.ts";

describe("defineStruct", () => {
  it("lays fields out in order with C's alignment and pads the end", () => {
    const inner = defineStruct("inner", { a: "u8", b: "f64" });
    const s = defineStruct("s", {
      x: "u8",
      y: "u16",
      z: "u32",
      arr: u32s(3),
      big: f64s(2),
      in: inner,
      last: "u8",
    });
    expect(inner).toMatchObject({ size: 16, align: 8, offsets: { a: 0, b: 8 } });
    expect(s.offsets).toEqual({ x: 0, y: 2, z: 4, arr: 8, big: 24, in: 40, last: 56 });
    expect([s.size, s.align]).toEqual([64, 8]);
  });

  it("cannot be changed afterwards", () => {
    const s = defineStruct("s", { x: "u32" });
    expect(() => {
      (s.offsets as { x: number }).x = 8;
    }).toThrow(TypeError);
  });

  it("has offsets with a shape, which optimised code folds, however many fields there are", () => {
    setFlagsFromString("--allow-natives-syntax");
    const hasShape = new Function("o", "return %HasFastProperties(o)") as (o: object) => boolean;
    setFlagsFromString("--no-allow-natives-syntax");
    // A literal, as declarations are: it shares no shape with objects that are filled key by key.
    const names = Array.from({ length: 60 }, (_, k) => `field${k}`);
    const literal = new Function(`return { ${names.map((name) => `${name}: "u32"`).join()} }`);
    const s = defineStruct("many", literal() as Record<string, "u32">);
    expect(s.offsets.field59).toBe(236);
    expect(hasShape(s.offsets)).toBe(true);
  });

  it("can be dumped by name", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const s = defineStruct("point", {
      x: "u32",
      y: "f64",
      z: "i32",
      w: "u8",
      f: "f32",
      h: "u16",
      a: u32s(2),
    });
    const p = mem.persistentAlloc(s.size, 8, "otherSys");
    mem.u32[p >>> 2] = 7;
    mem.f64[(p + s.offsets.y) >>> 3] = 0.5;
    mem.i32[(p + s.offsets.z) >>> 2] = -3;
    expect(dumpStruct(mem, p, s)).toBe(
      `point at 0x${p.toString(16)}\n  x                7\n  y                0.5\n` +
        "  z                -3\n  w                0\n" +
        "  f                0\n  h                0\n  a                (8 bytes)",
    );
  });
});
