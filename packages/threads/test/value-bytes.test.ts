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
    const sizes = fc.array(fc.record({ size: fc.nat(900), text: fc.boolean(), wide: fc.boolean() }));
    fc.assert(
      fc.property(sizes, (list) => {
        const buffer = new ByteBuffer();
        const want = list.map(({ size, text, wide }, i) => {
          const at = buffer.length;
          expect(at % 8).toBe(0);
          const value = String.fromCharCode((wide ? 0x4e00 : 0x61) + i).repeat(size);
          const bytes = text ? new TextEncoder().encode(value) : new Uint8Array(size).fill(i + 1);
          const n = text ? buffer.addText(value, false) : buffer.add(bytes);
          return { at, n, bytes };
        });
        // The padding of the last value is there too.
        expect(buffer.bytes.length).toBeGreaterThanOrEqual(buffer.length);
        for (const { at, n, bytes } of want) expect(buffer.bytes.slice(at, at + n)).toEqual(bytes);
      }),
    );
    const full = new ByteBuffer();
    full.add(new Uint8Array(1024));
    full.add(new Uint8Array(1021));
    expect(full.length).toBe(2048);
    expect(full.bytes.length).toBeGreaterThanOrEqual(2048);
    full.add(new Uint8Array(100_000));
    full.clear();
    // A large buffer is not kept.
    expect([full.length, full.bytes.length]).toEqual([0, 1024]);
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
