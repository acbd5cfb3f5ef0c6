import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { clearBits, firstRun64, longestRun, lowMask, nextOne, nextZero, setBits } from "../src/bits.ts";

describe("a word", () => {
  it("makes masks of 0 to 32 ones", () => {
    for (let n = 0; n <= 32; n++) expect(lowMask(n) >>> 0).toBe(2 ** n - 1);
  });

  it("gives the longest run of ones in a word", () => {
    const naive = (x: number): number =>
      Math.max(
        ...(x >>> 0)
          .toString(2)
          .split("0")
          .map((s) => s.length),
      );
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 0, max: 31 }), (x, least) => {
        expect(longestRun(x, least)).toBe(Math.max(naive(x), least));
      }),
    );
  });

  it("gives the lowest run of ones in 64 bits", () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.integer(),
        fc.integer(),
        fc.integer(),
        fc.integer({ min: 1, max: 31 }),
        (a, b, c, d, n) => {
          const [lo, hi] = [a | b, c | d];
          const bits = Array.from({ length: 64 }, (_, i) => (((i < 32 ? lo : hi) >>> (i & 31)) & 1) === 1);
          const want = bits.findIndex((_, i) => i + n <= 64 && bits.slice(i, i + n).every(Boolean));
          expect(firstRun64(lo, hi, n)).toBe(want);
        },
      ),
    );
  });
});

describe("bit maps", () => {
  const WORDS = 4;
  const BITS = 32 * WORDS;
  const bitsOf = (u32: Uint32Array): boolean[] =>
    Array.from({ length: 32 * u32.length }, (_, i) => ((u32[i >>> 5] >>> (i & 31)) & 1) === 1);

  it("get exactly the bits of a range set or cleared, wherever it begins and ends", () => {
    // A word in front and one behind, which no range reaches.
    const u32 = new Uint32Array(WORDS + 2);
    for (let first = 0; first < 34; first++) {
      for (let n = 0; n <= BITS - first; n++) {
        const inRange = (i: number): boolean => i - 32 >= first && i - 32 < first + n;
        u32.fill(0);
        setBits(u32, 1, first, n);
        if (!bitsOf(u32).every((bit, i) => bit === inRange(i))) expect.fail(`set ${n} from ${first}`);
        u32.fill(0xffffffff);
        clearBits(u32, 1, first, n);
        if (!bitsOf(u32).every((bit, i) => bit !== inRange(i))) expect.fail(`clear ${n} from ${first}`);
      }
    }
  });

  it("keep the bits beside a range that is set or cleared", () => {
    const u32 = Uint32Array.of(0xa5a5a5a5, 0x5a5a5a5a, 0xa5a5a5a5);
    setBits(u32, 0, 28, 40);
    expect([...u32]).toEqual([0xf5a5a5a5, 0xffffffff, 0xa5a5a5af]);
    clearBits(u32, 0, 24, 44);
    expect([...u32]).toEqual([0x00a5a5a5, 0, 0xa5a5a5a0]);
  });

  it("name the next zero and the next one of a range, or its end", () => {
    const u32 = new Uint32Array(WORDS + 1);
    for (const at of [0, 1, 30, 31, 32, 33, 63, 64, 95, 96, 126, 127]) {
      for (let from = 0; from <= BITS; from++) {
        for (const n of [1, 31, 32, 33, 64, 65, 100, 127, BITS]) {
          const want = from <= at && at < n ? at : n;
          u32.fill(0);
          setBits(u32, 1, at, 1);
          if (nextOne(u32, 1, from, n) !== want) expect.fail(`one at ${at}, in [${from}, ${n})`);
          u32.fill(0xffffffff);
          clearBits(u32, 1, at, 1);
          if (nextZero(u32, 1, from, n) !== want) expect.fail(`zero at ${at}, in [${from}, ${n})`);
        }
      }
    }
  });
});
