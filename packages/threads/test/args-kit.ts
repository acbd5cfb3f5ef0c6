/** Values for tests of arguments: random ones, and what must be equal after a journey. */
import {
  addrOf,
  array,
  float64,
  int,
  pointer,
  type RefMembers,
  Slice,
  slice,
  string,
  struct,
  type Type,
  type TypedHeap,
  uint8,
} from "@gort/types";
import { handleName } from "@gort/types/internal";
import fc from "fast-check";
import { clone } from "../src/clone.ts";

export const Node = struct("ArgsNode", {
  value: int,
  name: string,
  get next() {
    return pointer(Node);
  },
  list: slice(float64),
});
export const None = struct("ArgsNone", {});
const Pair = struct("ArgsPair", { a: Node, b: array(int, 2) });

/** A random bigint; most fit 64 bits or nearly so. */
const bigints = fc.oneof(
  fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }),
  fc.bigInt(),
  fc.constantFrom(2n ** 63n - 1n, 2n ** 63n, -(2n ** 63n), -(2n ** 63n) - 1n, 0n, -(16n ** 100n)),
);

/** Texts with lone surrogates, byte order marks, and lengths around the limits of the code. */
const texts = fc.oneof(
  fc.string(),
  fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units)),
  fc.array(fc.integer({ min: 0xd7f0, max: 0xe010 })).map((units) => String.fromCharCode(...units)),
  fc.constantFrom("", "\ufeffx", "\ud800", "é".repeat(24), "x".repeat(5000), "\udc00".repeat(4097)),
);

/** What `clone` takes. */
const plain = fc.anything({
  withBigInt: true,
  withDate: true,
  withMap: true,
  withSet: true,
  withSparseArray: true,
  withTypedArray: true,
});

/** A random value of the heap, made when it is needed. */
const heapValues: fc.Arbitrary<(types: TypedHeap) => unknown> = fc.oneof(
  fc
    .record({ value: fc.maxSafeInteger(), name: fc.string(), list: fc.array(fc.double()) })
    .map((init) => (types: TypedHeap) => types.newObject(Node, { ...init, next: types.newObject(Node) })),
  fc.array(fc.string()).map((list) => (types: TypedHeap) => types.sliceOf(string, list)),
  fc.uint8Array().map((bytes) => (types: TypedHeap) => types.sliceOf(uint8, [...bytes])),
  fc
    .record({ len: fc.nat(5), more: fc.nat(5), lo: fc.nat(5) })
    .map(({ len, more, lo }) => (types: TypedHeap) => {
      const s = types.makeSlice(slice(int), len, len + more);
      return s.slice(Math.min(lo, len));
    }),
  fc
    .record({ len: fc.constantFrom(0, 7, 2 ** 32 - 1, 2 ** 32, 2 ** 40), more: fc.constantFrom(0, 2 ** 33) })
    .map(
      ({ len, more }) =>
        (types: TypedHeap) =>
          types.makeSlice(None, len, len + more),
    ),
  fc.constantFrom<((types: TypedHeap) => unknown)[]>(
    (types) => types.nilSlice(pointer(Node)),
    (types) => types.newObject(string, "text"),
    (types) => types.newObject(Pair, { a: { value: 3 } }).a,
    (types) => types.newObject(Pair, { b: [3, 4] }).b,
    (types) => types.sliceOf(Pair, [{}, { b: [1] }]).ref(1),
    (types) => types.newObject(None),
  ),
);

/** Random arguments of a task: a function that makes them in a heap. */
export const argLists: fc.Arbitrary<(types: TypedHeap) => unknown[]> = fc
  .array(
    fc.oneof(
      fc.constantFrom<unknown[]>(undefined, null, true, false, -0, Number.NaN, Infinity).map((x) => () => x),
      fc.double().map((x) => () => x),
      fc.integer().map((x) => () => x),
      bigints.map((x) => () => x),
      texts.map((x) => () => x),
      plain.map((x) => () => clone(x)),
      heapValues,
    ),
    { maxLength: 8 },
  )
  .map((makers) => (types: TypedHeap) => makers.map((make) => make(types)));

/** What of an argument is equal before and after its journey. */
export function essence(x: unknown): unknown {
  if (x instanceof Slice) {
    const { $addr, length, cap } = x;
    return { slice: x.elem.name, $addr, length, cap, values: x.elem.size === 0 ? null : JSON.stringify(x) };
  }
  const name = handleName(x);
  if (name === null) return x;
  return { ref: name, $addr: addrOf(x as RefMembers<Type>), value: JSON.stringify(x) };
}
