import { expect, it } from "vitest";
import {
  append,
  array,
  bool,
  bytes,
  bytesToString,
  complex128,
  copy,
  createBumpHeap,
  createTypes,
  float32,
  float64,
  int,
  int8,
  int16,
  int32,
  int64,
  pointer,
  same,
  slice,
  string,
  struct,
  uint8,
  uint16,
  uint32,
  uint64,
} from "../src/index.ts";

/** Addresses of 2 GiB and more are negative as 32-bit integers: every kind of access must survive that. */
it("objects above 2 GiB hold every kind of value", ({ skip }) => {
  const heap = createBumpHeap({ maxMemory: 4 * 1024 ** 3 });
  skip(heap.mem.size < 3 * 1024 ** 3, "the platform grants less than 3 GiB of addresses");
  heap.malloc(0x90000000, 0);
  const types = createTypes(heap);
  const All = struct("All", {
    a: bool,
    b: int8,
    c: uint8,
    d: int16,
    e: uint16,
    f: int32,
    g: uint32,
    h: int64,
    i: uint64,
    j: int,
    k: float32,
    l: float64,
    m: complex128,
    n: string,
    o: bytes,
    p: pointer(int),
    q: slice(string),
    r: array(int16, 3),
  });
  const target = types.newObject(int, -5);
  const values = {
    a: true,
    b: -7,
    c: 200,
    d: -300,
    e: 60000,
    f: -70000,
    g: 4e9,
    h: -(2n ** 62n),
    i: 2n ** 63n,
    j: -(2 ** 50),
    k: 0.5,
    l: Math.PI,
    m: { re: 1, im: -2 },
    n: "kürzer",
    o: new Uint8Array([1, 2, 255]),
  };
  const x = types.newObject(All, { ...values, p: target, q: ["one", "x".repeat(100)], r: [1, -2, 3] });
  expect(x.$addr).toBeGreaterThan(2 ** 31);
  for (const [name, want] of Object.entries(values))
    expect(x[name as keyof typeof values], name).toEqual(want);
  expect(same(x.p, target)).toBe(true);
  expect(x.p?.value).toBe(-5);
  expect([...x.q]).toEqual(["one", "x".repeat(100)]);
  expect([...x.r]).toEqual([1, -2, 3]);

  const many = types.nilSlice(All);
  for (let i = 0; i < 20; i++) many.push(x);
  copy(many.slice(1), many);
  const grown = append(many, { n: "last" });
  expect([grown.length, grown.get(19).n, grown.get(20).n, grown.get(7).o[2]]).toEqual([
    21,
    "kürzer",
    "last",
    255,
  ]);
  expect(bytesToString(types.toBytes("bytes"))).toBe("bytes");

  const view = types.unsafe.view(All, x.$addr);
  view.p = types.unsafe.newObject(int);
  expect([view.p > 2 ** 31, x.p?.value, view.r.get(1), view.q.get(0)]).toEqual([true, 0, -2, "one"]);
});
