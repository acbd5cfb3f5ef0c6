import { describe, expect, it } from "vitest";
import { SyncMap } from "../../src/sync/index.ts";

describe("SyncMap", () => {
  it("distinguishes a missing key from a key with the value undefined", () => {
    const m = new SyncMap<string, number | undefined>();
    expect(m.load("a")).toEqual({ value: undefined, ok: false });
    m.store("a", undefined);
    expect(m.load("a")).toEqual({ value: undefined, ok: true });
    expect(m.loadOrStore("a", 1)).toEqual({ value: undefined, ok: true });
    expect(m.load("a")).toEqual({ value: undefined, ok: true });
    expect(m.loadOrStore("b", 2)).toEqual({ value: 2, ok: false });
    expect(m.load("b")).toEqual({ value: 2, ok: true });
    expect(m.loadAndDelete("b")).toEqual({ value: 2, ok: true });
    expect(m.loadAndDelete("b")).toEqual({ value: undefined, ok: false });
    expect(m.swap("b", 3)).toEqual({ value: undefined, ok: false });
    expect(m.swap("b", 4)).toEqual({ value: 3, ok: true });
    m.delete("b");
    expect(m.load("b").ok).toBe(false);
  });

  it("compares before it swaps or deletes", () => {
    const m = new SyncMap<string, number | undefined>();
    expect(m.compareAndSwap("a", undefined, 1)).toBe(false);
    expect(m.compareAndDelete("a", undefined)).toBe(false);
    m.store("a", 1);
    expect(m.compareAndSwap("a", 2, 3)).toBe(false);
    expect(m.compareAndDelete("a", 2)).toBe(false);
    expect(m.load("a").value).toBe(1);
    expect(m.compareAndSwap("a", 1, 2)).toBe(true);
    expect(m.load("a").value).toBe(2);
    expect(m.compareAndDelete("a", 2)).toBe(true);
    expect(m.load("a").ok).toBe(false);
  });

  it("ranges until the function returns false, and is empty after clear", () => {
    const m = new SyncMap<string, number>();
    for (const [i, key] of ["a", "b", "c"].entries()) m.store(key, i);
    const seen: unknown[] = [];
    m.range((k, v) => {
      seen.push([k, v]);
      return v < 1;
    });
    m.range((k) => void seen.push(k));
    expect(seen).toEqual([["a", 0], ["b", 1], "a", "b", "c"]);
    m.clear();
    m.range(() => expect.unreachable());
    expect(m.load("a").ok).toBe(false);
  });
});
