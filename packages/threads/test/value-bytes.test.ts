import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteBuffer, bigintOf, digitsOf, isLong, utf16Of, wellFormed } from "../src/value-bytes.ts";

/** The bytes that addText makes of a text. */
function bytesOf(text: string, utf16: boolean): Uint8Array {
  const buffer = new ByteBuffer();
  const n = buffer.addText(text, utf16);
  expect(buffer.length).toBe(Math.ceil(n / 8) * 8);
  return buffer.bytes.slice(0, n);
}
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

describe("the bytes of a value", () => {
  it("of a text give the text, in UTF-8 if that can hold it", () => {
    const units = (min: number, max: number) =>
      fc.array(fc.integer({ min, max })).map((list) => String.fromCharCode(...list));
    fc.assert(
      fc.property(fc.oneof(units(0xd7f0, 0xe010), units(0, 0xffff), fc.string()), (text) => {
        expect(wellFormed(text)).toBe(utf8.decode(bytesOf(text, false)) === text);
        expect(utf16Of(bytesOf(text, true))).toBe(text);
      }),
    );
    for (const n of [0, 1, 4095, 4096, 4097, 100_000]) {
      const text = "\udfff".repeat(n);
      expect(utf16Of(bytesOf(text, true))).toBe(text);
    }
  });

  it("of a text give the text on hosts without isWellFormed", () => {
    const proto = String.prototype as { isWellFormed?: unknown };
    const { isWellFormed } = proto;
    try {
      delete proto.isWellFormed;
      expect(["", "a\ud800", "\udc00\ud800", "\ud83d\ude00", "日本"].map(wellFormed)).toEqual([
        true,
        false,
        false,
        true,
        true,
      ]);
    } finally {
      proto.isWellFormed = isWellFormed;
    }
  });

  it("of several values stand one after the other, and survive the growth of the buffer", () => {
    const buffer = new ByteBuffer();
    const places: [at: number, n: number][] = [];
    const texts = ["", "a", "é".repeat(3), "x".repeat(900), "y".repeat(100_000), "z"];
    for (const text of texts) places.push([buffer.length, buffer.addText(text, false)]);
    places.push([buffer.length, buffer.add(new Uint8Array([1, 2, 3]))]);
    const got = places.map(([at, n]) => buffer.bytes.slice(at, at + n));
    expect(got.slice(0, -1).map((b) => utf8.decode(b))).toEqual(texts);
    expect([...got[6]]).toEqual([1, 2, 3]);
    expect(places.every(([at]) => at % 8 === 0)).toBe(true);
    buffer.clear();
    // A large buffer is not kept.
    expect([buffer.length, buffer.bytes.length]).toEqual([0, 1024]);
  });

  it("of a bigint give the bigint, and one that fits 64 bits needs none", () => {
    fc.assert(
      fc.property(fc.bigInt(), (x) => {
        expect(bigintOf(digitsOf(x))).toBe(x);
      }),
    );
    expect([-(2n ** 63n), 2n ** 63n - 1n, 0n].map(isLong)).toEqual([false, false, false]);
    expect([-(2n ** 63n) - 1n, 2n ** 63n].map(isLong)).toEqual([true, true]);
  });
});
