/**
 * append_growth.json: the capacities that append chooses, by really appending in a heap with Go's size
 * classes, and those of conversions from strings.
 *
 * Not counted: what depends on Go's compiler (slices that it keeps in the frame: `stack_backed`, `local_*`)
 * and `bytes_Buffer_caps`, which is a policy of that library type and not of append.
 */

import {
  append,
  appendSlice,
  array,
  createBumpHeap,
  createTypes,
  growCap,
  pointer,
  type Slice,
  type Type,
  uint8,
} from "../src/index.ts";

export interface Result {
  passed: number;
  total: number;
  failures: string[];
}

interface Elem {
  elem_size: number;
  has_pointers: boolean;
  caps_one_by_one: number[];
  append_many: [number, number, number, number][];
  append_stride?: { step: number; caps: number[] }[];
}
type Ranges = [lo: number, hi: number, value: number][];
interface Vectors {
  elements: Elem[];
  conversions: Record<string, unknown>;
}

/** Rows with larger arrays are checked by the formula alone: the arena frees nothing. */
const REAL_BYTES = 1 << 16;

export function run(vectors: unknown): Result {
  const v = vectors as Vectors;
  const result: Result = { passed: 0, total: 0, failures: [] };
  const expectEqual = (what: string, got: unknown, want: unknown): void => {
    result.total++;
    if (JSON.stringify(got) === JSON.stringify(want)) result.passed++;
    else result.failures.push(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
  };
  for (const e of v.elements) element(e, expectEqual);
  conversions(v.conversions, expectEqual);
  return result;
}

type Check = (what: string, got: unknown, want: unknown) => void;

function element(e: Elem, expectEqual: Check): void {
  const label = `${e.elem_size} bytes${e.has_pointers ? " of pointers" : ""}`;
  const elem: Type = e.has_pointers ? array(pointer(uint8), e.elem_size / 8) : array(uint8, e.elem_size);
  const heap = createBumpHeap();
  const types = createTypes(heap);
  const noscan = !e.has_pointers;
  const grown = (newLen: number, cap: number): number =>
    newLen <= cap ? cap : growCap(heap, e.elem_size, noscan, newLen, cap);

  // s = append(s, one) to a full slice, from nil.
  const caps: number[] = [];
  let s = types.nilSlice(elem);
  for (const want of e.caps_one_by_one) {
    const before = caps.at(-1) ?? 0;
    caps.push(grown(before + 1, before));
    if (want * e.elem_size > REAL_BYTES) continue;
    const next = append(s.slice(0, s.cap), []);
    expectEqual(`${label}: cap after appending to ${s.cap}`, next.cap, want);
    s = next;
  }
  expectEqual(`${label}: one by one`, caps, e.caps_one_by_one);

  for (const { step, caps: want } of e.append_stride ?? []) {
    const seen: number[] = [];
    let len = 0;
    let cap = 0;
    while (seen.length < want.length) {
      len += step;
      const next = grown(len, cap);
      if (next !== cap) seen.push(next);
      cap = next;
    }
    expectEqual(`${label}: ${step} at a time`, seen, want);
  }

  for (const [len, cap, added, want] of e.append_many) {
    const what = `${label}: append ${added} to len ${len} cap ${cap}`;
    if (Math.max(cap, want) * e.elem_size > REAL_BYTES) {
      expectEqual(what, grown(len + added, cap), want);
      continue;
    }
    const more = types.makeSlice(elem, added);
    expectEqual(what, appendSlice(types.makeSlice(elem, len, cap), more).cap, want);
  }
}

/** Both ends and the middle of each range: the value may change nowhere else. */
function ranges(what: string, rows: Ranges, capOf: (n: number) => number, expectEqual: Check): void {
  for (const [lo, hi, want] of rows) {
    const at = [...new Set([lo, (lo + hi) >>> 1, hi])];
    expectEqual(
      `${what} ${lo}..${hi}`,
      at.map(capOf),
      at.map(() => want),
    );
  }
}

function conversions(c: Record<string, unknown>, expectEqual: Check): void {
  const types = createTypes(createBumpHeap());
  const nil = (): Slice<typeof uint8> => types.nilSlice(uint8);
  const text = (n: number): string => "a".repeat(n);
  const zeros = (n: number): Slice<typeof uint8> => types.makeSlice(uint8, n);
  const byRange: Record<string, (n: number) => number> = {
    bytes_of_string_cap: (n) => types.toBytes(text(n)).cap,
    runes_of_string_cap: (n) => types.toRunes(text(n)).cap,
    slices_Grow_nil_bytes_cap: (n) => appendSlice(nil(), zeros(n)).cap,
    slices_Clone_bytes_cap: (n) => appendSlice(zeros(n).slice(0, 0, 0), zeros(n)).cap,
  };
  for (const [name, capOf] of Object.entries(byRange)) {
    if (name in c) ranges(name, c[name] as Ranges, capOf, expectEqual);
  }
  if ("make_cap_is_exact" in c) {
    expectEqual("make_cap_is_exact", types.makeSlice(uint8, 33).cap === 33, c.make_cap_is_exact);
  }
  if ("empty_conversions" in c) {
    const got = { 'cap([]byte(""))': types.toBytes("").cap, 'cap([]rune(""))': types.toRunes("").cap };
    expectEqual("empty conversions", got, c.empty_conversions);
  }
  if ("strings_Builder_caps" in c) {
    // A Builder appends to its bytes.
    const want = c.strings_Builder_caps as number[];
    const seen: number[] = [];
    const s = nil();
    while (seen.length < want.length) {
      s.push(0);
      if (s.cap !== seen.at(-1)) seen.push(s.cap);
    }
    expectEqual("strings_Builder_caps", seen, want);
  }
}
