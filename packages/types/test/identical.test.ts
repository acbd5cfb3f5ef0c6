import { describe, expect, it } from "vitest";
import * as t from "../src/index.ts";
import { array, int, pointer, slice, struct, uint8 } from "../src/index.ts";

describe("identical", () => {
  it("is false of types of different kinds over one element, and true of equal ones made apart", () => {
    const make = [
      () => array(slice(int), 2),
      () => slice(slice(int)),
      () => pointer(slice(int)),
      () => slice(int),
    ];
    make.forEach((a, i) => {
      make.forEach((b, k) => {
        expect(t.identical(a(), b())).toBe(i === k);
      });
    });
  });

  it("compares composite types by their elements and structs by identity", () => {
    const A = struct("S", { n: int });
    const B = struct("S", { n: int });
    expect(t.identical(A, A)).toBe(true);
    expect(t.identical(A, B)).toBe(false);
    expect(t.identical(pointer(A), pointer(A))).toBe(true);
    expect(t.identical(slice(pointer(A)), slice(pointer(B)))).toBe(false);
    expect(t.identical(array(uint8, 3), array(uint8, 3))).toBe(true);
    expect(t.identical(array(uint8, 3), array(uint8, 4))).toBe(false);
    expect(t.identical(int, t.int64)).toBe(false);
  });
});
