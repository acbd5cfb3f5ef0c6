import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createRuntime, int, type Runtime, struct } from "../src/index.ts";

const T = struct("T", { x: int });

let rt: Runtime;
beforeEach(() => {
  rt = createRuntime({ maxMemory: 64 * 2 ** 20, stderr: () => {} });
});
afterEach(() => rt.close());

describe("weak", () => {
  it("gives the same pointer for the same object, and another one for another object", () => {
    const o = rt.newObject(T, { x: 1 });
    const other = rt.newObject(T, { x: 1 });
    expect(rt.weak(o)).toBe(rt.weak(o));
    expect(rt.weak(rt.weak(o).value())).toBe(rt.weak(o));
    expect(rt.weak(o)).not.toBe(rt.weak(other));
    expect(rt.weak(o).value()!.x).toBe(1);
  });

  it("gives one pointer for null, whose value is null", () => {
    expect(rt.weak(null).value()).toBe(null);
    expect(rt.weak(null)).toBe(rt.weak(null));
  });
});
